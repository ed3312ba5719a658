//! Keys as age writes them: Bech32 (BIP 173) of 32 bytes of X25519, `age1...` the public and `AGE-SECRET-KEY-1...` the private
//! half.

use std::fmt;
use std::io;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, X25519};

use super::random;

const KEY_BYTES: usize = 32;
const PUBLIC: &str = "age";
const PRIVATE: &str = "age-secret-key-";
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_DIGITS: usize = 6;

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKey(String);

/// Somebody's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient(pub(super) [u8; KEY_BYTES]);

impl FromStr for Recipient {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bad = |why: &str| BadKey(format!("{text:?} is no public key of age (age1...): {why}"));
        if text.to_lowercase().starts_with(PRIVATE) {
            // Not repeated: it is a secret.
            return Err(BadKey(
                "this is a private key; give the public one that belongs to it (age1...)".to_owned(),
            ));
        }
        decode(PUBLIC, text).map(Recipient).map_err(bad)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(PUBLIC, &self.0))
    }
}

/// A private key. Its Debug shows nothing.
pub struct Identity([u8; KEY_BYTES]);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> io::Result<Identity> {
        Ok(Identity(random()?))
    }

    /// The public key that belongs to it.
    ///
    /// # Errors
    /// When the crypto library refuses it.
    pub fn recipient(&self) -> io::Result<Recipient> {
        Ok(Recipient(self.public()?))
    }

    /// As a line of an identity file.
    #[must_use]
    pub fn to_text(&self) -> String {
        encode(PRIVATE, &self.0).to_uppercase()
    }

    pub(super) fn private(&self) -> io::Result<PrivateKey> {
        PrivateKey::from_private_key(&X25519, &self.0)
            .map_err(|_| io::Error::other("a private key that is none"))
    }

    pub(super) fn public(&self) -> io::Result<[u8; KEY_BYTES]> {
        public(&self.private()?)
    }
}

fn public(private: &PrivateKey) -> io::Result<[u8; KEY_BYTES]> {
    let public = private.compute_public_key().ok().and_then(|key| key.as_ref().try_into().ok());
    public.ok_or_else(|| io::Error::other("a public key could not be computed"))
}

/// A key of one use, and its public half.
pub(super) fn generate() -> io::Result<(PrivateKey, [u8; KEY_BYTES])> {
    let private =
        PrivateKey::generate(&X25519).map_err(|_| io::Error::other("the system gives no randomness"))?;
    let public = public(&private)?;
    Ok((private, public))
}

/// The private keys in an identity file, one a line; `#` begins a remark.
///
/// # Errors
/// When a line is none, or there is no key.
pub fn identities(text: &str) -> Result<Vec<Identity>, BadKey> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|line| {
        // Not repeated: it may be a secret.
        decode(PRIVATE, line)
            .map(Identity)
            .map_err(|why| BadKey(format!("a line is no private key of age (AGE-SECRET-KEY-1...): {why}")))
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err(BadKey("there is no private key in it".to_owned())) } else { Ok(keys) }
}

/// One step of Bech32's checksum.
fn step(checksum: u32, digit: u8) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = checksum >> 25;
    let next = (checksum & 0x01ff_ffff) << 5 ^ u32::from(digit);
    (0..5).filter(|bit| top >> bit & 1 == 1).fold(next, |sum, bit| sum ^ GENERATOR[bit])
}

fn checksum(prefix: &str, digits: impl IntoIterator<Item = u8>) -> u32 {
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    high.chain([0]).chain(low).chain(digits).fold(1, step)
}

/// Digits of `from` bits as digits of `to` bits. None if what is left over is not padding.
fn regroup(digits: &[u8], from: u32, to: u32, pad: bool) -> Option<Vec<u8>> {
    let (mut held, mut bits, mut out) = (0_u32, 0, Vec::new());
    for digit in digits {
        held = (held << from | u32::from(*digit)) & 0xfff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push(u8::try_from(held >> bits & ((1 << to) - 1)).ok()?);
        }
    }
    let rest = held & ((1 << bits) - 1);
    if pad && bits > 0 {
        out.push(u8::try_from(rest << (to - bits)).ok()?);
    } else if !pad && (bits >= from || rest != 0) {
        return None;
    }
    Some(out)
}

fn encode(prefix: &str, key: &[u8; KEY_BYTES]) -> String {
    let mut digits = regroup(key, 8, 5, true).unwrap_or_default();
    let sum = checksum(prefix, digits.iter().copied().chain([0; CHECKSUM_DIGITS])) ^ 1;
    digits.extend((0..CHECKSUM_DIGITS).rev().map(|at| (sum >> (5 * at) & 31) as u8));
    let text = digits.iter().map(|digit| char::from(ALPHABET[usize::from(*digit)]));
    format!("{prefix}1{}", text.collect::<String>())
}

fn decode(prefix: &str, text: &str) -> Result<[u8; KEY_BYTES], &'static str> {
    let lower = text.to_lowercase();
    if text != lower && text != text.to_uppercase() {
        return Err("it mixes upper and lower case");
    }
    let body =
        lower.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('1')).ok_or("it begins otherwise")?;
    let digit = |byte| ALPHABET.iter().position(|known| *known == byte).and_then(|at| u8::try_from(at).ok());
    let digits: Vec<u8> =
        body.bytes().map(digit).collect::<Option<_>>().ok_or("it has a character that none has")?;
    if digits.len() <= CHECKSUM_DIGITS || checksum(prefix, digits.iter().copied()) != 1 {
        return Err("its checksum is wrong; was it copied whole?");
    }
    let bytes = regroup(&digits[..digits.len() - CHECKSUM_DIGITS], 5, 8, false);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or("it has another length")
}
