//! Service accounts and tokens that are called back, at three controllers: what is taken away is worth nothing at any of
//! them from the moment on in which that was answered, whatever they remember.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::{Value, json};

struct Key {
    kid: &'static str,
    encoding: EncodingKey,
    x: String,
}

impl Key {
    fn new(kid: &'static str) -> Key {
        let key = Ed25519KeyPair::generate().expect("a key");
        let encoding = EncodingKey::from_ed_der(key.to_pkcs8v1().expect("its bytes").as_ref());
        Key { kid, encoding, x: URL_SAFE_NO_PAD.encode(key.public_key().as_ref()) }
    }

    fn public(&self) -> Value {
        json!({ "kid": self.kid, "kty": "OKP", "crv": "Ed25519", "x": self.x })
    }

    fn sign(&self, changes: Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims(changes), &self.encoding).expect("signed")
    }
}

/// What a token of the account says, changed by `changes`; null takes a claim away.
fn claims(changes: Value) -> Value {
    let now = unix_s();
    let mut claims =
        json!({ "iss": ACCOUNT, "sub": ACCOUNT, "aud": "rempart-api", "iat": now, "exp": now + 600 });
    for (claim, value) in changes.as_object().into_iter().flatten() {
        claims[claim] = value.clone();
    }
    let present = claims.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(claim, value)| (claim.clone(), value.clone())).collect())
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

const ACCOUNT: &str = "sa:acme/deploy";

struct Lab {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    operator: Client,
    alice: Client,
    http: reqwest::Client,
}

/// Three controllers; alice and the service account own tenant `acme`.
async fn lab() -> Lab {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(2, "alice").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice", "bob", ACCOUNT] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Lab { _dir: dir, cluster, operator, alice, http }
}

fn account() -> Urn {
    Urn::tenant(Kind::ServiceAccount, "acme", "deploy")
}

impl Lab {
    async fn put_keys(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        self.alice.put(&account(), &json!({ "spec": { "keys": keys } })).await.expect("an account");
    }

    /// Every controller, asked to read and to write, answers so.
    async fn everywhere(&self, token: &str, read: u16, write: u16, why: &str) {
        let path = "providers/seca.workspace/v1/tenants/acme/workspaces";
        for id in 1..=3 {
            let url = format!("{}/{path}", self.cluster.layout.url(id));
            let answer = self.http.get(&url).bearer_auth(token).send().await.expect("an answer");
            let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
            assert_eq!(challenge.is_some_and(|text| text.contains("invalid_token")), read == 401, "{why}");
            assert_eq!(answer.status().as_u16(), read, "{why}: a read at controller {id}");
            let put = self.http.put(format!("{url}/w{id}")).bearer_auth(token).json(&json!({}));
            let answer = put.send().await.expect("an answer").status().as_u16();
            // Created the first time, replaced afterwards.
            assert_eq!(if answer == 201 { 200 } else { answer }, write, "{why}: a write at controller {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_is_worth_nothing_anywhere() {
    let lab = lab().await;
    accounts(&lab).await;
    revocations(&lab).await;
}

async fn accounts(lab: &Lab) {
    let (first, second) = (Key::new("first"), Key::new("second"));
    let token = first.sign(json!({}));
    lab.everywhere(&token, 401, 401, "no account yet").await;
    lab.put_keys(&[&first]).await;
    // No controller may say that it does not know the key yet.
    lab.everywhere(&token, 200, 200, "its key").await;
    forgeries(lab, &first).await;

    lab.put_keys(&[&first, &second]).await;
    let new = second.sign(json!({}));
    lab.everywhere(&new, 200, 200, "the new key").await;
    lab.everywhere(&token, 200, 200, "the old one beside it").await;
    lab.put_keys(&[&second]).await;
    lab.everywhere(&token, 401, 401, "remembered everywhere, and its key taken away").await;
    lab.everywhere(&new, 200, 200, "the key that stays").await;
    // Another key under the same name.
    let imposed = Key { kid: "second", ..Key::new("") };
    lab.put_keys(&[&imposed]).await;
    lab.everywhere(&new, 401, 401, "another key under its name").await;
    lab.everywhere(&imposed.sign(json!({})), 200, 200, "that key").await;

    lab.alice.delete(&account()).await.expect("deleted");
    lab.everywhere(&imposed.sign(json!({})), 401, 401, "the account is gone").await;
    let foreign = Urn::tenant(Kind::ServiceAccount, "other", "deploy");
    let refused = lab.alice.put(&foreign, &json!({ "spec": {} })).await.expect_err("not hers");
    assert_eq!(refused.status(), Some(403));
}

async fn forgeries(lab: &Lab, key: &Key) {
    let now = unix_s();
    for changes in [
        json!({ "aud": "rempart-join" }),
        json!({ "aud": null }),
        json!({ "sub": "operator" }),
        json!({ "sub": "alice" }),
        json!({ "iss": "sa:acme/other" }),
        json!({ "iss": "sa:acme" }),
        json!({ "iss": "sa:" }),
        json!({ "iss": "rempart" }),
        json!({ "exp": now - 90 }),
        json!({ "exp": now + 7200 }),
        json!({ "exp": null }),
        json!({ "nbf": now + 120 }),
    ] {
        lab.everywhere(&key.sign(changes.clone()), 401, 401, &changes.to_string()).await;
    }
    let stolen = Key { kid: "first", ..Key::new("") };
    lab.everywhere(&stolen.sign(json!({})), 401, 401, "another key under its name").await;
    let unnamed = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims(json!({})), &key.encoding)
        .expect("signed");
    lab.everywhere(&unnamed, 401, 401, "no kid").await;
    let header = Header { kid: Some("first".to_owned()), ..Header::new(Algorithm::HS256) };
    let secret = EncodingKey::from_secret(key.x.as_bytes());
    let confused = jsonwebtoken::encode(&header, &claims(json!({})), &secret).expect("signed");
    lab.everywhere(&confused, 401, 401, "HS256 with the public key").await;
    let borrowed = lab.cluster.layout.token(ACCOUNT).expect("a token");
    lab.everywhere(&borrowed, 401, 401, "our own issuer speaks for an account").await;
}

async fn revocations(lab: &Lab) {
    let (bob, alice) = (
        lab.cluster.layout.token("bob").expect("a token"),
        lab.cluster.layout.token("alice").expect("a token"),
    );
    lab.everywhere(&bob, 200, 200, "a token").await;
    let revocation = Urn::global(Kind::TokenRevocation, "bob-lost-his-laptop");
    let body = json!({ "spec": { "subject": "bob" } });
    let refused = lab.alice.put(&revocation, &body).await.expect_err("operators alone");
    assert_eq!(refused.status(), Some(403));
    lab.operator.put(&revocation, &body).await.expect("called back");
    lab.everywhere(&bob, 401, 401, "called back").await;
    lab.everywhere(&alice, 200, 200, "somebody else's").await;
    // One that is given out from the next second on.
    let fresh = until_some("a token of a later second", Duration::from_secs(10), || async {
        let token = lab.cluster.layout.token("bob").expect("a token");
        let url = format!("{}/providers/seca.region/v1/regions", lab.cluster.layout.url(1));
        let status = lab.http.get(url).bearer_auth(&token).send().await.expect("an answer").status();
        if status.is_success() { Ok(token) } else { Err(status.to_string()) }
    })
    .await;
    lab.everywhere(&fresh, 200, 200, "a new token").await;
    lab.everywhere(&bob, 401, 401, "the old one").await;
    lab.operator.put(&revocation, &body).await.expect("called back again");
    lab.everywhere(&fresh, 401, 401, "called back again").await;
    let listed = lab.operator.list(&revocation).await.expect("a list");
    assert_eq!(listed.items.len(), 1);
}
