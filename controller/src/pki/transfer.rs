//! Handing a cluster's keys to a controller that joins: sealed to a key that the joiner made for this one request.
//!
//! Both sides agree on a secret over X25519, each with a key used once; HKDF binds it to all that was said (token,
//! certificate request, both public halves, CA), AES-256-GCM seals. TLS protects the same bytes on their way; this keeps
//! them closed to whatever ends TLS or records memory of the wire, once the joiner's key is gone.

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use rempart_proto::enrol::v1::{EnrolRequest, SealedKeys};

use super::seal::{aes, derive};

const PURPOSE: &str = "rempart keys for a controller 1";
/// A key of one use has one nonce.
const NONCE: [u8; 12] = [0; 12];

/// The joiner's key of one use.
pub(super) struct Exchange {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Exchange {
    pub(super) fn new() -> Option<Exchange> {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().to_vec();
        Some(Exchange { private, public })
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The key that both sides derive; none when the other's public half is none.
    fn agree(self, theirs: &[u8], transcript: &[u8]) -> Option<[u8; 32]> {
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        agree_ephemeral(self.private, theirs, (), |secret| derive(secret, transcript, PURPOSE).ok_or(())).ok()
    }
}

/// All that was said, in an order and with lengths that leave nothing to interpret.
fn transcript(request: &EnrolRequest, answerer: &[u8], ca: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [request.token.as_bytes(), &request.certificate_request, &request.exchange_key, answerer, ca]
    {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish()
}

/// Seals `content` to who sent `request`; none when its exchange key is none.
pub(super) fn seal(request: &EnrolRequest, ca: &[u8], content: &[u8]) -> Option<SealedKeys> {
    let own = Exchange::new()?;
    let exchange_key = own.public().to_vec();
    let transcript = transcript(request, &exchange_key, ca);
    let key = aes(&own.agree(&request.exchange_key, transcript.as_ref())?)?;
    let mut sealed = content.to_vec();
    let nonce = Nonce::assume_unique_for_key(NONCE);
    key.seal_in_place_append_tag(nonce, Aad::from(transcript.as_ref()), &mut sealed).ok()?;
    Some(SealedKeys { exchange_key, sealed })
}

/// Opens what was answered to `request`, which carried `own`'s public half.
pub(super) fn open(own: Exchange, request: &EnrolRequest, ca: &[u8], keys: &SealedKeys) -> Option<Vec<u8>> {
    let transcript = transcript(request, &keys.exchange_key, ca);
    let key = aes(&own.agree(&keys.exchange_key, transcript.as_ref())?)?;
    let mut content = keys.sealed.clone();
    let nonce = Nonce::assume_unique_for_key(NONCE);
    let length = key.open_in_place(nonce, Aad::from(transcript.as_ref()), &mut content).ok()?.len();
    content.truncate(length);
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> (Exchange, EnrolRequest) {
        let own = Exchange::new().unwrap();
        let request = EnrolRequest {
            token: "token".into(),
            certificate_request: vec![1, 2],
            exchange_key: own.public().to_vec(),
        };
        (own, request)
    }

    #[test]
    fn only_who_asked_opens_what_was_answered_to_all_it_said() {
        let (own, request) = asked();
        let keys = seal(&request, b"ca", b"root key").unwrap();
        assert!(!keys.sealed.windows(4).any(|window| window == b"root"));
        assert_eq!(open(own, &request, b"ca", &keys).as_deref(), Some(&b"root key"[..]));

        let (own, _) = asked();
        assert_eq!(open(own, &request, b"ca", &keys), None, "another's key");
        let (own, request) = asked();
        let keys = seal(&request, b"ca", b"root key").unwrap();
        let other = EnrolRequest { token: "other".into(), ..request.clone() };
        assert_eq!(open(own, &other, b"ca", &keys), None, "another token");
        let (own, request) = asked();
        let keys = seal(&request, b"ca", b"root key").unwrap();
        assert_eq!(open(own, &request, b"another ca", &keys), None);
    }

    #[test]
    fn a_key_that_is_none_gets_nothing() {
        for bad in [vec![], vec![1; 31], vec![0; 32]] {
            let request = EnrolRequest { exchange_key: bad, ..asked().1 };
            assert!(seal(&request, b"ca", b"root key").is_none());
        }
    }
}
