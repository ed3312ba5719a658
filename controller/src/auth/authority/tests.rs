use super::*;

fn authority() -> Authority {
    Authority::from_pkcs8(&Authority::generate().unwrap()).unwrap()
}

#[test]
fn a_token_holds_for_its_audience_key_and_time_only() {
    let (authority, other) = (authority(), authority());
    let hour = Duration::from_secs(3600);
    let token = authority.issue(Audience::Api, "alice", hour).unwrap();
    assert_eq!(authority.verify(Audience::Api, &token).as_deref(), Ok("alice"));
    assert!(authority.verify(Audience::Join, &token).unwrap_err().contains("another audience"));
    assert!(other.verify(Audience::Api, &token).unwrap_err().contains("signature"));
    let mut parts: Vec<&str> = token.split('.').collect();
    // {"typ":"JWT","alg":"none"}
    parts[0] = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0";
    for forged in [parts.join("."), format!("{}.{}.", parts[0], parts[1]), String::new(), "a.b.c".to_owned()]
    {
        assert!(authority.verify(Audience::Api, &forged).is_err(), "{forged}");
    }
}

#[test]
fn expired_tokens_are_refused() {
    let authority = authority();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims {
        iss: ISSUER.to_owned(),
        sub: "alice".to_owned(),
        aud: Audience::Api.name().to_owned(),
        iat: now - 100,
        exp: now - 50,
        jti: None,
        zone: None,
    };
    let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &authority.encoding).unwrap();
    assert!(authority.verify(Audience::Api, &token).unwrap_err().contains("expired"));
}

#[test]
fn a_one_time_token_says_which_it_is_and_since_when() {
    let authority = authority();
    let hour = Duration::from_secs(3600);
    let before = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let token = authority.issue_once(Audience::Join, "host:h1", Some("a"), hour).unwrap();
    let known = authority.verify_once(Audience::Join, &token).unwrap();
    assert_eq!((known.subject.as_str(), known.zone.as_deref()), ("host:h1", Some("a")));
    assert!((before..before + 60_000).contains(&known.issued_at_ms), "{known:?}");
    assert!((known.expires_at_ms - known.issued_at_ms - 3_600_000).abs() <= 1000, "{known:?}");
    let other = authority.issue_once(Audience::Join, "host:h1", None, hour).unwrap();
    assert_ne!(authority.verify_once(Audience::Join, &other).unwrap().id, known.id);
    let many = authority.issue(Audience::Join, "host:h1", hour).unwrap();
    assert!(authority.verify_once(Audience::Join, &many).is_err());
    assert!(authority.verify_once(Audience::Api, &token).unwrap_err().contains("audience"));
}
