use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn issuers() -> Issuers {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("issuers.toml");
    let text = "[[issuer]]\nurl = \"http://127.0.0.1:1\"\naudience = \"api\"\nalgorithms = [\"ES256\"]\nprefix = \"corp\"\n";
    std::fs::write(&path, text).unwrap();
    Issuers::read(path.to_str().unwrap()).unwrap()
}

fn own() -> Arc<Authority> {
    Arc::new(Authority::from_pkcs8(&Authority::generate().unwrap()).unwrap())
}

async fn proven(authenticator: &Authenticator, header: &str) -> Result<Arc<str>, Denied> {
    authenticator.proven(Some(header)).await.map(|proven| proven.subject)
}

#[tokio::test]
async fn a_header_proves_a_subject_or_says_why_not() {
    let own = own();
    let authenticator = Authenticator::new(own.clone(), issuers()).unwrap();
    let token = own.issue(Audience::Api, "alice", HOUR).unwrap();
    for header in [format!("Bearer {token}"), format!("bearer  {token} ")] {
        assert_eq!(proven(&authenticator, &header).await.as_deref(), Ok("alice"));
    }
    let join = own.issue(Audience::Join, "host:h1", HOUR).unwrap();
    let colliding = own.issue(Audience::Api, "corp:alice", HOUR).unwrap();
    let account = own.issue(Audience::Api, "sa:acme/deploy", HOUR).unwrap();
    let long = own.issue(Audience::Api, &"a".repeat(129), HOUR).unwrap();
    let control = own.issue(Audience::Api, "a\u{7}", HOUR).unwrap();
    for (token, words) in [
        (join.as_str(), "another audience"),
        (&colliding, "prefix of another issuer"),
        (&account, "prefix of another issuer"),
        (&long, "longer than 128"),
        (&control, "not text"),
        (&"x".repeat(MAX_TOKEN_BYTES + 1), "longer than 16384"),
        ("garbage", "not a valid JWT"),
        ("a.b.c", "not a valid JWT"),
    ] {
        let denied = authenticator.proven(Some(&format!("Bearer {token}"))).await.unwrap_err();
        assert!(denied.had_token && denied.why.contains(words), "{words}: {denied:?}");
    }
    for header in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic YTpi"), Some(token.as_str())]
    {
        assert!(!authenticator.proven(header).await.unwrap_err().had_token, "{header:?}");
    }
}

#[tokio::test]
async fn a_subject_that_only_begins_like_a_prefix_is_our_own() {
    let own = own();
    let authenticator = Authenticator::new(own.clone(), issuers()).unwrap();
    for subject in ["corporal", "corp", "corp-1:x"] {
        let header = format!("Bearer {}", own.issue(Audience::Api, subject, HOUR).unwrap());
        assert_eq!(proven(&authenticator, &header).await.as_deref(), Ok(subject));
    }
}

#[tokio::test]
async fn what_was_verified_is_remembered_until_it_ends() {
    let own = own();
    let authenticator = Authenticator::new(own.clone(), Issuers::default()).unwrap();
    let token = own.issue(Audience::Api, "alice", HOUR).unwrap();
    let digest = cache::digest(&token);
    assert!(authenticator.cache.get(&digest, unix_s()).is_none());
    authenticator.proven(Some(&format!("Bearer {token}"))).await.unwrap();
    assert_eq!(
        authenticator.cache.get(&digest, unix_s()).map(|proven| proven.subject).as_deref(),
        Some("alice")
    );
    assert!(authenticator.cache.get(&digest, unix_s() + 3600).is_none());
    // The same text with another signature is another token.
    let (body, _) = token.rsplit_once('.').unwrap();
    let forged = format!("Bearer {body}.{}", "A".repeat(86));
    assert!(authenticator.proven(Some(&forged)).await.is_err());
}

/// Texts that are parsed again by what parses tokens, one in the other, take all the stack there is.
#[tokio::test]
async fn a_token_whose_depth_hides_is_refused() {
    let own = own();
    let authenticator = Authenticator::new(own.clone(), issuers()).unwrap();
    let mut deep = "1".to_owned();
    for _ in 0..10 {
        let inner = serde_json::Value::String(deep).to_string();
        deep =
            format!("{}{{\"$serde_json::private::RawValue\":{inner}}}{}", "[".repeat(110), "]".repeat(110));
    }
    let token = own.issue(Audience::Api, "alice", HOUR).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let head = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"x\":{deep}}}"));
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"iss\":\"rempart\",\"sub\":\"alice\",\"x\":{deep}}}"));
    for token in [format!("{head}.{}.{}", parts[1], parts[2]), format!("{}.{claims}.{}", parts[0], parts[2])]
    {
        assert!(token.len() <= MAX_TOKEN_BYTES, "{}", token.len());
        let denied = authenticator.proven(Some(&format!("Bearer {token}"))).await.unwrap_err();
        assert!(denied.why.contains("not a valid JWT"), "{denied:?}");
        assert!(own.verify(Audience::Api, &token).unwrap_err().contains("not a valid JWT"));
    }
}
