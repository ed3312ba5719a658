//! The age file format, version 1 (age-encryption.org/v1), with X25519 recipients: what a backup is encrypted in.
//!
//! ```text
//!   age-encryption.org/v1
//!   -> X25519 EPHEMERAL          one for each recipient: the file key, sealed to it
//!   SEALED FILE KEY
//!   --- MAC                      of all lines before, under the file key
//!   nonce | chunk | chunk ...    64 KiB each: ChaCha20-Poly1305, numbered, the last one marked
//! ```
//!
//! The format is a public one, so that an operator without any of our programs can read a backup with a tool of the trade. What
//! is here is its composition; every primitive is the crypto library's that all else here uses.
//!
//! What never happens: a byte is given out that was not verified, or the end is told of a file that was cut.

use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

mod keys;

pub use keys::{BadKey, Identity, Recipient, identities};

const MAGIC: &str = "age-encryption.org/v1";
const KEY_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const FILE_KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
/// Longest header that is read, and longest line in it.
const MAX_HEADER_BYTES: u64 = 64 << 10;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(material: &[u8], salt: &[u8], label: &[u8]) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(material);
    let labels = [label];
    let expanded = prk.expand(&labels, Length(key.len())).and_then(|okm| okm.fill(&mut key));
    expanded.map_err(|_| io::Error::other("a key could not be derived"))?;
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key);
    Ok(LessSafeKey::new(key.map_err(|_| io::Error::other("a key of the wrong length"))?))
}

fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(bytes)
}

/// What two halves agree on, as a key that wraps a file key.
fn wrapping_key(own: &PrivateKey, theirs: &[u8], salt: &[u8]) -> io::Result<LessSafeKey> {
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    let no = || io::Error::new(io::ErrorKind::InvalidData, "a public key that is none");
    let key = agree(own, theirs, no(), |secret| derive(secret, salt, KEY_LABEL))?;
    cipher(&key)
}

fn header_mac(file_key: &[u8], header: &[u8]) -> io::Result<(hmac::Key, Vec<u8>)> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, b"", b"header")?);
    let mac = hmac::sign(&key, header).as_ref().to_vec();
    Ok((key, mac))
}

/// The nonce of a chunk: its number, and whether it is the last.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Encrypts what is written to it.
pub struct Encryptor<W> {
    out: W,
    key: LessSafeKey,
    number: u64,
    chunk: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of `out`; also without any recipient, for nobody could ever read it.
    pub fn begin(recipients: &[Recipient], mut out: W) -> io::Result<Self> {
        if recipients.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no recipient to encrypt to"));
        }
        let file_key: [u8; FILE_KEY_BYTES] = random()?;
        let mut header = format!("{MAGIC}\n");
        for recipient in recipients {
            let (ephemeral, share) = keys::generate()?;
            let salt = [&share[..], &recipient.0].concat();
            let key = wrapping_key(&ephemeral, &recipient.0, &salt)?;
            let mut body = file_key.to_vec();
            // The key is of this one use.
            key.seal_in_place_append_tag(nonce(0, false), Aad::empty(), &mut body)
                .map_err(|_| io::Error::other("the file key could not be sealed"))?;
            header +=
                &format!("-> X25519 {}\n{}\n", STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(body));
        }
        header += "---";
        let (_, mac) = header_mac(&file_key, header.as_bytes())?;
        header += &format!(" {}\n", STANDARD_NO_PAD.encode(mac));
        out.write_all(header.as_bytes())?;
        let salt: [u8; NONCE_BYTES] = random()?;
        out.write_all(&salt)?;
        let key = cipher(&derive(&file_key, &salt, b"payload")?)?;
        Ok(Self { out, key, number: 0, chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) })
    }

    /// Everything was written: without this, whoever reads it finds that it was cut.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        self.key
            .seal_in_place_append_tag(nonce(self.number, last), Aad::empty(), &mut self.chunk)
            .map_err(|_| io::Error::other("a chunk could not be sealed"))?;
        self.number += 1;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full one waits until it is known that it is not the last.
        if self.chunk.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the content of a file, decrypted and verified.
pub struct Decryptor<R> {
    input: R,
    key: LessSafeKey,
    number: u64,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: BufRead> Decryptor<R> {
    /// Reads the header, and opens it with one of the identities.
    ///
    /// # Errors
    /// `InvalidData` if it is no such file or damaged, `PermissionDenied` if it is for none of them.
    pub fn begin(identities: &[Identity], mut input: R) -> io::Result<Self> {
        let header = Header::read(&mut input)?;
        let mut file_key = None;
        for stanza in &header.shares {
            for identity in identities {
                file_key = file_key.or(stanza.open(identity)?);
            }
        }
        let Some(file_key) = file_key else {
            let why = "it is encrypted to other keys than the identity that was given";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        };
        let (key, _) = header_mac(&file_key, &header.signed)?;
        hmac::verify(&key, &header.signed, &header.mac).map_err(|_| damaged("its header was changed"))?;
        let mut salt = [0; NONCE_BYTES];
        input.read_exact(&mut salt).map_err(cut_short)?;
        let key = cipher(&derive(&file_key, &salt, b"payload")?)?;
        Ok(Self { input, key, number: 0, chunk: Vec::new(), at: 0, ended: false })
    }

    fn fill(&mut self) -> io::Result<()> {
        self.chunk.clear();
        self.at = 0;
        let longest = (CHUNK_BYTES + TAG_BYTES) as u64;
        let read = self.input.by_ref().take(longest).read_to_end(&mut self.chunk)?;
        let last = (read as u64) < longest || self.input.fill_buf()?.is_empty();
        let opened = self.key.open_in_place(nonce(self.number, last), Aad::empty(), &mut self.chunk);
        let length = opened.map_err(|_| damaged("it was cut, or its bytes were changed"))?.len();
        if length == 0 && self.number > 0 {
            return Err(damaged("it has an empty end"));
        }
        self.chunk.truncate(length);
        self.number += 1;
        self.ended = last;
        Ok(())
    }
}

impl<R: BufRead> Read for Decryptor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() && !self.ended {
            self.fill()?;
        }
        let count = out.len().min(self.chunk.len() - self.at);
        out[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The file key, sealed to somebody.
struct Share {
    ephemeral: Vec<u8>,
    body: Vec<u8>,
}

impl Share {
    /// None if it is not for this identity.
    fn open(&self, identity: &Identity) -> io::Result<Option<[u8; FILE_KEY_BYTES]>> {
        let salt = [&self.ephemeral[..], &identity.public()?].concat();
        let key = wrapping_key(&identity.private()?, &self.ephemeral, &salt)?;
        let mut body = self.body.clone();
        let opened = key.open_in_place(nonce(0, false), Aad::empty(), &mut body);
        Ok(opened.ok().and_then(|key| (&*key).try_into().ok()))
    }
}

struct Header {
    shares: Vec<Share>,
    /// What the MAC is of.
    signed: Vec<u8>,
    mac: Vec<u8>,
}

impl Header {
    fn read(input: &mut impl BufRead) -> io::Result<Header> {
        let mut input = input.take(MAX_HEADER_BYTES);
        let mut signed = Vec::new();
        let longest = MAGIC.len() as u64 + 1;
        input.by_ref().take(longest).read_to_end(&mut signed)?;
        match signed.strip_prefix(MAGIC.as_bytes()) {
            Some(b"\n") => {}
            _ if signed.is_empty() => return Err(damaged("it is empty")),
            _ if MAGIC.as_bytes().starts_with(&signed) => return Err(damaged("it is cut short")),
            _ => return Err(damaged("it does not begin as a file of age does")),
        }
        let mut shares = Vec::new();
        loop {
            let text = line(&mut input)?;
            if let Some(mac) = text.strip_prefix("--- ") {
                signed.extend(b"---");
                return Ok(Header { shares, signed, mac: decoded(mac.trim_end())? });
            }
            let Some(arguments) = text.strip_prefix("-> ") else { return Err(damaged("its header is none")) };
            let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            signed.extend(text.as_bytes());
            let mut body = String::new();
            loop {
                let text = line(&mut input)?;
                signed.extend(text.as_bytes());
                body += text.trim_end();
                // A shorter line is the last.
                if text.trim_end().len() < 64 {
                    break;
                }
            }
            // Others are somebody else's way in.
            if let [kind, share] = &arguments[..]
                && kind == "X25519"
            {
                shares.push(Share { ephemeral: decoded(share)?, body: decoded(&body)? });
            }
        }
    }
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.read_until(b'\n', &mut bytes)?;
    if bytes.last() != Some(&b'\n') {
        return Err(damaged("its header is cut"));
    }
    String::from_utf8(bytes).map_err(|_| damaged("its header is no text"))
}

fn decoded(text: &str) -> io::Result<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).map_err(|_| damaged("its header is not base64"))
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file is damaged: {why}"))
}

fn cut_short(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut short"),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
