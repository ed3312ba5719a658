use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

/// Account `acme/deploy` has key `first`; counts what is asked.
struct One {
    x: String,
    asked: AtomicUsize,
    caught_up: AtomicUsize,
}

impl Accounts for One {
    fn key(&self, tenant: &str, name: &str, kid: &str) -> Option<String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        ((tenant, name, kid) == ("acme", "deploy", "first")).then(|| self.x.clone())
    }

    fn catch_up(&self) -> BoxFuture<'_, ()> {
        self.caught_up.fetch_add(1, Ordering::Relaxed);
        async {}.boxed()
    }
}

fn pair() -> (EncodingKey, String) {
    let key = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    (EncodingKey::from_ed_der(key.to_pkcs8v1().unwrap().as_ref()), x)
}

fn token(identity: &str, kid: &str, key: &EncodingKey, exp: u64) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({ "iss": identity, "sub": identity, "aud": "rempart-api", "exp": exp });
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

#[tokio::test]
async fn who_has_no_key_of_it_does_not_learn_which_accounts_there_are() {
    let ((own, x), (strange, _)) = (pair(), pair());
    let accounts = One { x, asked: AtomicUsize::new(0), caught_up: AtomicUsize::new(0) };
    let later = unix_s() + 600;
    for (identity, kid) in [
        ("sa:acme/deploy", "first"),
        ("sa:acme/deploy", "other"),
        ("sa:acme/none", "first"),
        ("sa:none/deploy", "first"),
    ] {
        // What is wrong with the token besides tells no more.
        for exp in [later, 1] {
            let before = (accounts.asked.load(Ordering::Relaxed), accounts.caught_up.load(Ordering::Relaxed));
            let refused = verify(&accounts, identity, &token(identity, kid, &strange, exp)).await;
            assert_eq!(refused.err().as_deref(), Some(UNKNOWN), "{identity} {kid}");
            let after = (accounts.asked.load(Ordering::Relaxed), accounts.caught_up.load(Ordering::Relaxed));
            assert_eq!(after, (before.0 + 2, before.1 + 1), "{identity} {kid}: the same work for each");
        }
    }
    // The account itself is told what is wrong.
    let good = verify(&accounts, "sa:acme/deploy", &token("sa:acme/deploy", "first", &own, later)).await;
    assert_eq!(good.map(|known| known.subject.to_string()), Ok("sa:acme/deploy".to_owned()));
    let expired = verify(&accounts, "sa:acme/deploy", &token("sa:acme/deploy", "first", &own, 1)).await;
    assert!(expired.err().is_some_and(|why| why.contains("expired")));
}
