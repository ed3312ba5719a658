//! A cluster's CA in this process, for tests that talk over connections.

use std::sync::LazyLock;
use std::time::Duration;

use rempart_identity::{Ca, Credentials, Identity, Key};

use super::Controllers;
use super::keeper::{EstablishError, Token, establish};

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::create("test").unwrap());

pub(crate) fn credentials(identity: &Identity) -> Credentials {
    let key = Key::generate().unwrap();
    let certificate = CA.sign_own(identity, &key, Duration::from_secs(3600)).unwrap();
    Credentials::new(CA.certificate().clone(), certificate, &key).unwrap()
}

/// Controllers as host `host-1` sees them.
pub(crate) fn controllers(addresses: Vec<String>) -> Controllers {
    Controllers::new(addresses, credentials(&Identity::Host("host-1".to_owned())))
}

#[tokio::test]
async fn without_identity_and_token_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let refused = establish(dir.path(), "h1", None).await.err().unwrap();
    assert!(refused.to_string().contains("token join --host h1"), "{refused}");
    let gone = Token::File(dir.path().join("gone"));
    let refused = establish(dir.path(), "h1", Some(&gone)).await.err().unwrap();
    assert!(matches!(refused, EstablishError::File(_)), "{refused}");
    let nonsense = Token::Text("nonsense".to_owned());
    let refused = establish(dir.path(), "h1", Some(&nonsense)).await.err().unwrap();
    assert!(refused.to_string().contains("not a join token"), "{refused}");
}

#[tokio::test]
async fn a_damaged_identity_is_said_and_shows_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.json");
    rempart_identity::file::write_secret(&path, br#"{"key":"SECRET"}"#).unwrap();
    let refused = establish(dir.path(), "h1", None).await.err().unwrap().to_string();
    assert!(refused.contains("identity.json") && !refused.contains("SECRET"), "{refused}");
}
