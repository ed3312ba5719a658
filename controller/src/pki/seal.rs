//! Sealing: what of secrets is in files, log, rows and backups is of no use without `root.key`.
//!
//! Four keys are derived from the root key, one per use: files, secrets, the nonces of secrets, and marks. A secret's nonce is
//! derived from its name and text, so that the same text under the same name seals the same: a repeated PUT changes
//! nothing. Under another name it does not open.
//!
//! What never happens: a sealed text is taken for a clear one because of how it begins (clients' texts that begin so are
//! refused before), and a text that does not open is shown.

use std::borrow::Cow;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rempart_api::Urn;
use rempart_model::{Object, SEALED_PREFIX, Spec};

/// Bytes of the root key.
pub const ROOT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const FILE_MAGIC: &[u8] = b"rempart sealed file 1\n";

/// Something sealed does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} does not open with this root key; is root.key that of this cluster?")]
pub struct Closed {
    /// What was to be opened.
    pub what: String,
}

/// Seals and opens. Its Debug shows nothing.
pub struct Sealer {
    files: LessSafeKey,
    secrets: LessSafeKey,
    nonces: hmac::Key,
    marks: hmac::Key,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Sealer")
    }
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        ROOT_BYTES
    }
}

/// A key for `purpose`, from key material that is secret and random.
pub(super) fn derive(material: &[u8], salt: &[u8], purpose: &str) -> Option<[u8; ROOT_BYTES]> {
    let mut key = [0; ROOT_BYTES];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(material);
    prk.expand(&[purpose.as_bytes()], Length).ok()?.fill(&mut key).ok()?;
    Some(key)
}

pub(super) fn aes(key: &[u8; ROOT_BYTES]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

impl Sealer {
    /// With this root key.
    ///
    /// # Errors
    /// When it has not [`ROOT_BYTES`].
    pub fn new(root: &[u8]) -> Result<Sealer, String> {
        if root.len() != ROOT_BYTES {
            return Err(format!("the root key has {} bytes, not {ROOT_BYTES}", root.len()));
        }
        let derived = |purpose| derive(root, b"rempart root key 1", purpose);
        let keys = || {
            let nonces = hmac::Key::new(hmac::HMAC_SHA256, &derived("nonces of secrets")?);
            let marks = hmac::Key::new(hmac::HMAC_SHA256, &derived("marks")?);
            Some(Sealer {
                files: aes(&derived("files")?)?,
                secrets: aes(&derived("secrets")?)?,
                nonces,
                marks,
            })
        };
        keys().ok_or_else(|| "keys could not be derived from the root key".to_owned())
    }

    /// Seals the content of a file; it opens under this `name` only.
    pub fn seal_file(&self, name: &str, content: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut nonce).unwrap_or_else(|_| unreachable!("the system gives randomness"));
        [FILE_MAGIC, &seal(&self.files, nonce, name, content)].concat()
    }

    /// Opens what [`seal_file`](Self::seal_file) sealed.
    ///
    /// # Errors
    /// When it is something else, or sealed under another root key.
    pub fn open_file(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Closed> {
        let body = sealed.strip_prefix(FILE_MAGIC);
        body.and_then(|body| open(&self.files, name, body)).ok_or_else(|| Closed { what: name.to_owned() })
    }

    /// Says of `text` that this cluster wrote it: whichever of its controllers is shown both again can tell.
    pub fn mark(&self, text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.marks, text).as_ref().to_vec()
    }

    /// Whether `mark` is that of `text`. Takes the same time whatever is wrong with it.
    pub fn is_mark(&self, text: &[u8], mark: &[u8]) -> bool {
        hmac::verify(&self.marks, text, mark).is_ok()
    }

    fn seal_secret(&self, name: &str, text: &str) -> String {
        let mut to_digest = hmac::Context::with_key(&self.nonces);
        // The length keeps name and text apart.
        to_digest.update(&(name.len() as u64).to_be_bytes());
        to_digest.update(name.as_bytes());
        to_digest.update(text.as_bytes());
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&to_digest.sign().as_ref()[..NONCE_BYTES]);
        let sealed = seal(&self.secrets, nonce, name, text.as_bytes());
        format!("{SEALED_PREFIX}{}", STANDARD.encode(sealed))
    }

    fn open_secret(&self, name: &str, text: &str) -> Result<String, Closed> {
        // Written in clear by hand, into a log that is older than sealing.
        let Some(body) = text.strip_prefix(SEALED_PREFIX) else { return Ok(text.to_owned()) };
        let bytes = STANDARD.decode(body).ok().and_then(|sealed| open(&self.secrets, name, &sealed));
        let clear = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        clear.ok_or_else(|| Closed { what: name.to_owned() })
    }

    /// Seals the secrets of a spec that a client sent for `urn`. Once: what comes in is clear.
    pub fn seal(&self, urn: &Urn, spec: &mut Spec) {
        for (field, text) in spec.secrets_mut() {
            *text = self.seal_secret(&name_of(urn, field), text);
        }
    }

    /// The object with its secrets in clear: for those who may see them, and for its host.
    ///
    /// # Errors
    /// When one does not open.
    pub fn open<'a>(&self, object: &'a Object) -> Result<Cow<'a, Object>, Closed> {
        if !may_have_secrets(&object.spec) {
            return Ok(Cow::Borrowed(object));
        }
        let mut clear = object.clone();
        for (field, text) in clear.spec.secrets_mut() {
            *text = self.open_secret(&name_of(&object.urn, field), text)?;
        }
        Ok(Cow::Owned(clear))
    }
}

/// Most objects have none, and need no copy to find that out.
fn may_have_secrets(spec: &Spec) -> bool {
    match spec {
        Spec::Instance(instance) => instance.user_data.is_some(),
        _ => false,
    }
}

fn name_of(urn: &Urn, field: &str) -> String {
    format!("{urn}#{field}")
}

/// The nonce, the sealed bytes, and their tag.
fn seal(key: &LessSafeKey, nonce: [u8; NONCE_BYTES], name: &str, content: &[u8]) -> Vec<u8> {
    let mut sealed = content.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(name.as_bytes()),
        &mut sealed,
    )
    .unwrap_or_else(|_| unreachable!("AES-GCM seals anything below 64 GiB"));
    [&nonce[..], &sealed].concat()
}

fn open(key: &LessSafeKey, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_at_checked(NONCE_BYTES)?;
    let mut body = body.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let clear = key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).ok()?.len();
    body.truncate(clear);
    Some(body)
}

#[cfg(test)]
mod tests;
