use super::*;
use crate::auth::{Audience, Proof};
use rempart_api::Kind;

fn authority() -> Authority {
    Authority::from_pkcs8(&Authority::generate().unwrap()).unwrap()
}

#[test]
fn a_token_says_for_whom_and_for_what_it_is_and_is_no_other_token() {
    let authority = authority();
    let urn = Urn::workspace(Kind::Instance, "acme", "w", "web-1");
    let uid = Uuid::from_u128(5);
    let alice =
        Caller { subject: "alice".to_owned(), proof: Proof::Own { issued_unix_s: 7 }, operates: true };
    let issue = |lifetime| token::issue(&authority, &alice, &urn, uid, ConsoleKind::Vnc, lifetime).unwrap();
    let (token, expires_at) = issue(TOKEN_LIFETIME);
    let shown = token::verify(&authority, &token).unwrap();
    let caller = shown.caller();
    assert_eq!((caller.subject.as_str(), caller.proof), ("alice", Proof::Own { issued_unix_s: 7 }));
    assert_eq!((shown.claims.urn(), shown.claims.uid), (urn.clone(), uid));
    assert_eq!((shown.claims.kind, shown.expires_at), (ConsoleKind::Vnc, expires_at));
    assert_ne!(shown.to_use().id, token::verify(&authority, &issue(TOKEN_LIFETIME).0).unwrap().to_use().id);
    // Neither passes for the other.
    for audience in [Audience::Api, Audience::Join] {
        assert!(authority.verify(audience, &token).unwrap_err().contains("another audience"));
        let other = authority.issue(audience, "alice", TOKEN_LIFETIME).unwrap();
        assert!(token::verify(&authority, &other).is_err());
    }
    let bare = authority.issue(Audience::Console, "alice", TOKEN_LIFETIME).unwrap();
    assert!(token::verify(&authority, &bare).is_err(), "it says nothing of an instance");
    assert!(
        token::verify(&authority, &issue(Duration::ZERO).0).unwrap_err().contains("expired"),
        "no leeway"
    );
}
