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
