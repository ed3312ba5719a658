//! Who calls, and what they show.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rempart_tests::Layout;
use serde_json::{Value, json};

/// Owns tenant `acme`.
pub(crate) const OWNER: &str = "alice";
pub(crate) const OPERATOR: &str = "operator";
/// A workspace's editor and viewer, as long as nobody assigns otherwise.
pub(crate) const EDITOR: &str = "ed";
pub(crate) const VIEWER: &str = "vic";
/// Owns tenant `globex`.
pub(crate) const NEIGHBOUR: &str = "bob";
/// Has nothing anywhere.
pub(crate) const STRANGER: &str = "mallory";
/// A service account of `acme`, with a key as long as it has one.
pub(crate) const ROBOT: &str = "sa:acme/robot";
/// An administrator whose tokens are called back now and then.
pub(crate) const REVOKED: &str = "rita";

pub(crate) const ALL: [&str; 8] = [OWNER, OPERATOR, EDITOR, VIEWER, NEIGHBOUR, STRANGER, ROBOT, REVOKED];

/// Name of the robot's key in its account.
pub(crate) const KEY: &str = "first";

/// The service account's key pair.
pub(crate) struct Robot {
    encoding: EncodingKey,
    /// Its public half, as an account has it.
    pub(crate) x: String,
}

impl Robot {
    pub(crate) fn new() -> Robot {
        let key = Ed25519KeyPair::generate().expect("a key");
        let encoding = EncodingKey::from_ed_der(key.to_pkcs8v1().expect("its bytes").as_ref());
        Robot { encoding, x: URL_SAFE_NO_PAD.encode(key.public_key().as_ref()) }
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = Header { kid: Some(KEY.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let claims =
            json!({ "iss": ROBOT, "sub": ROBOT, "aud": "rempart-api", "iat": now, "exp": now + 3000 });
        jsonwebtoken::encode(&header, &claims, &self.encoding).expect("signed")
    }
}

/// What one shows.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// When it was issued, in seconds since 1970.
    pub(crate) issued_unix_s: i64,
}

/// A token for each of [`ALL`].
pub(crate) fn tokens(layout: &Layout, robot: &Robot) -> Vec<(&'static str, Token)> {
    let token = |who: &'static str| {
        let text = if who == ROBOT { robot.token() } else { layout.token(who).expect("a token") };
        let payload = text.split('.').nth(1).expect("a JWT has a payload");
        let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64");
        let payload: Value = serde_json::from_slice(&payload).expect("claims");
        (who, Token { issued_unix_s: payload["iat"].as_i64().expect("a time"), text })
    };
    ALL.into_iter().map(token).collect()
}
