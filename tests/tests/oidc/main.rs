//! Tokens of OpenID Connect issuers at a real controller: whose are taken, and what becomes of the others.

mod issuer;

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::{Value, json};

use issuer::{Answers, Issuer, SigningKey, encoded, unix_s};

struct Lab {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    http: reqwest::Client,
    url: String,
}

/// A controller that knows these issuers; `corp:alice` and `alice` own a tenant each.
async fn lab(issuers: &[String]) -> Lab {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("issuers.toml");
    std::fs::write(&file, issuers.join("\n")).expect("written");
    let settings = [("REMPART_OIDC_ISSUERS", file.to_str().expect("UTF-8"))];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    for (tenant, owner) in [("acme", "corp:alice"), ("own", "alice")] {
        let body = json!({ "spec": { "owners": [owner] } });
        operator.put(&Urn::global(Kind::Tenant, tenant), &body).await.expect("a tenant");
    }
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = cluster.layout.url(1);
    Lab { _dir: dir, cluster, http, url }
}

fn entry(issuer: &Issuer, prefix: &str, more: &str) -> String {
    format!(
        "[[issuer]]\nurl = {:?}\naudience = \"rempart\"\nalgorithms = [\"ES256\", \"RS256\"]\nprefix = {prefix:?}\n{more}\n",
        issuer.url
    )
}

impl Lab {
    /// A list in tenant `acme`: status, challenge and detail.
    async fn ask(&self, token: &str) -> (u16, String, String) {
        let url = format!("{}/providers/seca.workspace/v1/tenants/acme/workspaces", self.url);
        let answer = self.http.get(url).bearer_auth(token).send().await.expect("an answer");
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
        let challenge = challenge.unwrap_or_default().to_owned();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        (status, challenge, body["detail"].as_str().unwrap_or_default().to_owned())
    }

    async fn accepted(&self, token: &str, why: &str) {
        let (status, _, detail) = self.ask(token).await;
        assert_eq!(status, 200, "{why}: {detail}");
    }

    /// 401, with the challenge that RFC 6750 wants, and the reason in words that hold nothing of the token.
    async fn refused(&self, token: &str, words: &str, why: &str) {
        let (status, challenge, detail) = self.ask(token).await;
        assert_eq!(status, 401, "{why}: {detail}");
        assert_eq!(challenge, "Bearer realm=\"rempart\", error=\"invalid_token\"", "{why}");
        assert!(detail.contains(words), "{why}: {words:?} is not in {detail:?}");
    }

    fn log(&self) -> String {
        self.cluster.controllers[0].daemon.log()
    }

    async fn until_status(&self, token: &str, expected: u16, what: &str) {
        until_some(what, Duration::from_secs(30), || async {
            let (status, _, detail) = self.ask(token).await;
            if status == expected { Ok(()) } else { Err(format!("{status} {detail}")) }
        })
        .await;
    }

    async fn until_log(&self, words: &str) {
        until_some(words, Duration::from_secs(30), || async {
            if self.log().contains(words) { Ok(()) } else { Err("it is not in the log".to_owned()) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_for_what_its_issuer_may_say_and_nothing_else() {
    let (key, other_key, rsa) = (SigningKey::ec("k1"), SigningKey::ec("k2"), SigningKey::rsa("r1"));
    let issuer = Issuer::start(Answers::Keys(vec![key.published(), rsa.published()])).await;
    let other = Issuer::start(Answers::Keys(vec![other_key.published()])).await;
    let lab = lab(&[
        entry(&issuer, "corp", "refresh-seconds = 3600"),
        entry(&other, "partner", "refresh-seconds = 3600").replace("\"ES256\", \"RS256\"", "\"ES256\""),
    ])
    .await;
    let good = issuer.claims("alice", json!({}));
    lab.accepted(&key.sign(&good), "by elliptic curve").await;
    lab.accepted(&rsa.sign(&good), "by RSA").await;
    lab.accepted(&key.sign(&issuer.claims("alice", json!({ "aud": ["x", "rempart"] }))), "audiences").await;
    let now = unix_s();
    let skewed = [json!({ "exp": now - 30 }), json!({ "nbf": now + 30, "iat": now + 30 })];
    for changes in skewed {
        lab.accepted(&key.sign(&issuer.claims("alice", changes.clone())), &changes.to_string()).await;
    }

    subjects(&lab, &issuer, &key, &other, &other_key).await;
    forgeries(&lab, &issuer, &key, &rsa, &other, &other_key).await;
    // Whatever was sent, each issuer was asked a few times at most.
    assert!(issuer.fetches() <= 4 && other.fetches() <= 4, "{} {}", issuer.fetches(), other.fetches());
    let log = lab.log();
    assert!(!log.contains(&key.sign(&good)[..40]), "a token is in the log");
}

/// Whose is whose.
async fn subjects(lab: &Lab, issuer: &Issuer, key: &SigningKey, other: &Issuer, other_key: &SigningKey) {
    let collection = |tenant: &str| Urn::tenant(Kind::Workspace, tenant, "");
    let status = async |token: &str, tenant: &str| {
        let client = Client::new(&lab.url, token).expect("a client");
        client.list(&collection(tenant)).await.map_or_else(|error| error.status(), |_| Some(200))
    };
    let corp = key.sign(&issuer.claims("alice", json!({})));
    let partner = other_key.sign(&other.claims("alice", json!({})));
    let own = lab.cluster.layout.token("alice").expect("a token");
    for (token, acme, of_own) in [(&corp, 200, 403), (&partner, 403, 403), (&own, 403, 200)] {
        assert_eq!(status(token, "acme").await, Some(acme));
        assert_eq!(status(token, "own").await, Some(of_own));
    }
    let borrowed = lab.cluster.layout.token("corp:alice").expect("a token");
    lab.refused(&borrowed, "prefix of another issuer", "our own issuer speaks for a partner").await;
}

async fn forgeries(
    lab: &Lab,
    issuer: &Issuer,
    key: &SigningKey,
    rsa: &SigningKey,
    other: &Issuer,
    other_key: &SigningKey,
) {
    let now = unix_s();
    let good = issuer.claims("alice", json!({}));
    for (changes, words) in [
        (json!({ "aud": "another" }), "another audience"),
        (json!({ "aud": ["another"] }), "another audience"),
        (json!({ "aud": null }), "\"aud\""),
        (json!({ "iss": "http://127.0.0.1:1" }), "issuer that is not known"),
        (json!({ "iss": format!("{}/", issuer.url) }), "issuer that is not known"),
        (json!({ "iss": [issuer.url] }), "not a valid JWT"),
        (json!({ "iss": null }), "not a valid JWT"),
        (json!({ "exp": now - 90 }), "expired"),
        (json!({ "exp": null }), "\"exp\""),
        (json!({ "exp": "tomorrow" }), "\"exp\""),
        (json!({ "nbf": now + 120 }), "not valid yet"),
        (json!({ "sub": null }), "\"sub\""),
        (json!({ "sub": "" }), "\"sub\""),
        (json!({ "sub": 5 }), "\"sub\""),
        (json!({ "sub": "a".repeat(200) }), "longer than 128"),
        (json!({ "sub": "a\nb" }), "not text"),
    ] {
        lab.refused(&key.sign(&issuer.claims("alice", changes.clone())), words, &changes.to_string()).await;
    }
    let payload = encoded(&good.to_string());
    for header in
        ["{\"alg\":\"none\"}", "{\"alg\":\"None\",\"typ\":\"JWT\"}", "{\"alg\":\"NONE\",\"kid\":\"k1\"}"]
    {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{payload}.{signature}", encoded(header));
            lab.refused(&token, "not a valid JWT", header).await;
        }
    }
    // The public key as a shared secret, in the forms somebody may have it in.
    let public = rsa.published();
    let n = public["n"].as_str().expect("its modulus");
    for secret in [n.to_owned(), public.to_string()] {
        let header = Header { kid: Some("r1".to_owned()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&header, &good, &secret).expect("signed");
        lab.refused(&token, "signed in a way", "HS256 with the public key").await;
    }
    let strange = SigningKey::ec("k1");
    lab.refused(&strange.sign(&good), "signature", "another key under the same name").await;
    let unknown = SigningKey::ec("k9");
    lab.refused(&unknown.sign(&good), "does not publish", "a key nobody published").await;
    let crossed = other_key.sign(&good);
    lab.refused(&crossed, "does not publish", "another issuer's key").await;
    let crossed = SigningKey { kid: "k1".to_owned(), ..other_key.clone() }.sign(&good);
    lab.refused(&crossed, "signature", "another issuer's key under this one's name").await;
    let narrow = rsa.sign(&other.claims("alice", json!({})));
    lab.refused(&narrow, "signed in a way", "an algorithm that this issuer may not use").await;
    let crossed = SigningKey { kid: "k1".to_owned(), ..rsa.clone() };
    lab.refused(&crossed.sign(&good), "does not publish", "a key of another type under this name").await;

    let thief = Issuer::start(Answers::Keys(vec![strange.published()])).await;
    let jwk = serde_json::from_value(strange.published()).expect("a key");
    let carried = Header { jwk: Some(jwk), ..strange.header() };
    lab.refused(&strange.sign_as(&carried, &good), "signature", "a key inside the token").await;
    let pointed =
        Header { jku: Some(format!("{}/keys", thief.url)), x5u: Some(thief.url.clone()), ..strange.header() };
    lab.refused(&strange.sign_as(&pointed, &good), "signature", "keys elsewhere").await;
    assert_eq!(thief.asked(), Vec::<String>::new(), "a token made the controller ask somewhere");
    let demanding = Header { crit: Some(vec!["b64".to_owned()]), ..key.header() };
    lab.refused(&key.sign_as(&demanding, &good), "crit", "a header that has to be understood").await;

    let token = key.sign(&good);
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (header, _) = head.split_once('.').expect("three parts");
    let operator = encoded(&issuer.claims("operator", json!({})).to_string());
    lab.refused(&format!("{header}.{operator}.{signature}"), "signature", "another payload").await;
    lab.refused(&format!("{head}.{}", signature.replace(|_| true, "A")), "signature", "zeros").await;
    lab.refused(&format!("{token}.x"), "", "four parts").await;
    lab.refused(&"a".repeat(17_000), "longer than", "long").await;
    let own_name = json!({ "iss": "rempart", "aud": "rempart-api" });
    let borrowed = key.sign(&issuer.claims("operator", own_name));
    lab.refused(&borrowed, "", "an issuer that says it is ours").await;
    lab.accepted(&token, "and still").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_and_an_issuer_is_away() {
    let (first, second, third) = (SigningKey::ec("a"), SigningKey::ec("b"), SigningKey::rsa("c"));
    let slow = Issuer::start(Answers::Keys(vec![first.published()])).await;
    let quick = Issuer::start(Answers::Keys(vec![first.published()])).await;
    let lab = lab(&[
        entry(&slow, "corp", "refresh-seconds = 3600"),
        entry(&quick, "quick", "refresh-seconds = 1\nkeys-max-age-seconds = 6"),
    ])
    .await;
    rotation(&lab, &slow, &first, &second, &third).await;
    absence(&lab, &quick, &first, &second).await;
}

async fn rotation(lab: &Lab, issuer: &Issuer, first: &SigningKey, second: &SigningKey, third: &SigningKey) {
    let claims = issuer.claims("alice", json!({}));
    let (old, new) = (first.sign(&claims), second.sign(&claims));
    lab.accepted(&old, "the first key").await;
    lab.refused(&new, "", "a key that is not published yet").await;
    issuer.answer(Answers::Keys(vec![first.published(), second.published()]));
    // No refresh is due for an hour: the token itself brings it about.
    lab.until_status(&new, 200, "the new key to be known").await;
    lab.accepted(&old, "both hold while both are published").await;

    // The first key is withdrawn: what was verified with it is forgotten as soon as the keys are looked at.
    issuer.answer(Answers::Keys(vec![second.published(), third.published()]));
    lab.until_status(&third.sign(&claims), 200, "the third key to be known").await;
    lab.refused(&old, "does not publish", "remembered, but its key was withdrawn").await;
    lab.accepted(&new, "the second key").await;

    let fetches = issuer.fetches();
    let begun = std::time::Instant::now();
    let flood: Vec<_> = (0..200)
        .map(|number| SigningKey { kid: format!("x{number}"), ..first.clone() }.sign(&claims))
        .collect();
    for tokens in flood.chunks(50) {
        let asks = tokens.iter().map(|token| lab.refused(token, "does not publish", "unknown key"));
        for ask in asks {
            ask.await;
        }
    }
    let most = 1 + usize::try_from(begun.elapsed().as_secs() / 5).unwrap_or(usize::MAX);
    let more = issuer.fetches() - fetches;
    assert!(more <= most, "{more} fetches in {:?}", begun.elapsed());
}

async fn absence(lab: &Lab, issuer: &Issuer, known: &SigningKey, unknown: &SigningKey) {
    // Nobody of this issuer has rights here: 403 is what a token that is taken gets.
    let claims = issuer.claims("carol", json!({}));
    let remembered = known.sign(&claims);
    lab.until_status(&remembered, 403, "the issuer to be known").await;
    issuer.answer(Answers::Nothing);
    lab.until_log("the issuer's keys could not be fetched; those known are used on").await;
    assert_eq!(lab.ask(&remembered).await.0, 403, "remembered");
    let fresh = known.sign(&issuer.claims("dave", json!({})));
    assert_eq!(lab.ask(&fresh).await.0, 403, "never seen, but signed with a known key");
    lab.refused(&unknown.sign(&claims), "does not publish", "an unknown key, and nobody to ask").await;
    // Keys that nobody has confirmed for so long are worth nothing; nor is what was verified with them.
    lab.until_status(&remembered, 401, "the keys to be too old").await;
    lab.refused(&fresh, "cannot be had at the moment", "keys too old").await;
    lab.until_log("none are known that may still be used").await;
    issuer.answer(Answers::Keys(vec![known.published()]));
    lab.until_status(&remembered, 403, "the issuer to be back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_sends_the_controller_nowhere() {
    let key = SigningKey::ec("k");
    let inside = Issuer::start(Answers::Keys(vec![key.published()])).await;
    let keys = format!("{}/keys", inside.url);
    let redirecting = Issuer::start(Answers::Redirect(keys.clone())).await;
    let pointing = Issuer::start(Answers::KeysAt(keys.clone())).await;
    let impostor = Issuer::start(Answers::Impostor).await;
    let flooding = Issuer::start(Answers::Flood).await;
    let absent = Issuer::start(Answers::Nothing).await;
    let named = Issuer::start(Answers::Nothing).await;
    let lab = lab(&[
        entry(&redirecting, "corp", ""),
        entry(&pointing, "pointing", ""),
        entry(&impostor, "impostor", ""),
        entry(&flooding, "flooding", ""),
        entry(&absent, "absent", ""),
    ])
    .await;
    for words in
        ["redirects are not followed", "not the issuer's own host", "same to the letter", "larger than"]
    {
        lab.until_log(words).await;
    }
    for issuer in [&redirecting, &pointing, &impostor, &flooding, &absent] {
        let token = key.sign(&issuer.claims("alice", json!({})));
        lab.refused(&token, "cannot be had at the moment", &issuer.url).await;
    }
    assert_eq!(inside.asked(), Vec::<String>::new());
    assert_eq!(impostor.fetches() + flooding.fetches() + pointing.fetches() + redirecting.fetches(), 0);
    let own = lab.cluster.layout.token("alice").expect("a token");
    assert_eq!(lab.ask(&own).await.0, 403, "our own issuer needs none of them");
    drop(lab);

    // An address of keys that the operator named is asked, and the issuer is not.
    let lab = self::lab(&[entry(&named, "corp", &format!("jwks-url = {keys:?}"))]).await;
    let token = key.sign(&named.claims("alice", json!({})));
    lab.until_status(&token, 200, "the keys").await;
    assert!(named.asked().is_empty() && inside.asked().iter().all(|path| path == "/keys"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_from_a_server_whose_certificate_is_of_the_right_authority_alone() {
    let key = SigningKey::ec("k");
    let (trusted, authority) = Issuer::start_tls(Answers::Keys(vec![key.published()])).await;
    let (stranger, _) = Issuer::start_tls(Answers::Keys(vec![key.published()])).await;
    let (unnamed, _) = Issuer::start_tls(Answers::Keys(vec![key.published()])).await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority).expect("written");
    let of_it = format!("ca-file = {:?}", file.to_str().expect("UTF-8"));
    let lab = lab(&[
        entry(&trusted, "corp", &of_it),
        entry(&stranger, "stranger", &of_it),
        // By the system's authorities, none of which made its certificate.
        entry(&unnamed, "unnamed", ""),
    ])
    .await;
    lab.until_status(&key.sign(&trusted.claims("alice", json!({}))), 200, "the keys").await;
    for issuer in [&stranger, &unnamed] {
        let token = key.sign(&issuer.claims("alice", json!({})));
        lab.refused(&token, "cannot be had at the moment", &issuer.url).await;
        assert_eq!(issuer.asked(), Vec::<String>::new());
    }
    lab.until_log("invalid peer certificate").await;
}
