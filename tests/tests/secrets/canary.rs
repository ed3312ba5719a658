//! Secrets that exist once in the world, and every clear form in which one may turn up.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Characters of a fragment. Postgres' compression breaks a text up, but not one that has nothing to repeat.
const FRAGMENT: usize = 40;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xX";

/// `length` random letters and digits.
pub(crate) fn random_text(length: usize) -> String {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()
}

/// What must not be found, under the name it is reported by.
#[derive(Default)]
pub(crate) struct Canaries {
    names: Vec<String>,
    /// Forms by their first two bytes, so that looking for hundreds costs one pass.
    by_start: HashMap<[u8; 2], Vec<(usize, Vec<u8>)>>,
    longest: usize,
}

impl Canaries {
    /// Text, and fragments of it if it is long.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        let bytes = text.as_bytes();
        for start in (0..bytes.len()).step_by(FRAGMENT * 20) {
            self.bytes(name, &bytes[start..bytes.len().min(start + FRAGMENT)]);
        }
    }

    /// Bytes: as they are, in hex, in base64 at any offset, and as a list of numbers. Random letters and digits are the
    /// same when JSON or a URL escapes them.
    pub(crate) fn bytes(&mut self, name: &str, secret: &[u8]) {
        if secret.len() < 12 {
            return;
        }
        let number = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for skipped in 0..3 {
            // Whole groups only: what stands around them is somebody else's.
            let (from, groups) = (&secret[skipped..], (secret.len() - skipped) / 3);
            let encoded = STANDARD_NO_PAD.encode(&from[..groups * 3]);
            forms.push(encoded.replace('+', "-").replace('/', "_").into_bytes());
            forms.push(encoded.into_bytes());
        }
        for separator in [",", ", "] {
            let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
            forms.push(numbers.join(separator).into_bytes());
        }
        forms.push(secret.iter().flat_map(|byte| [*byte, 0]).collect());
        forms.sort();
        forms.dedup();
        for form in forms {
            self.longest = self.longest.max(form.len());
            self.by_start.entry([form[0], form[1]]).or_default().push((number, form));
        }
    }

    /// Most bytes of a form.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// A table of the pairs of bytes that some form begins with.
    pub(crate) fn starts(&self) -> Vec<bool> {
        let mut starts = vec![false; 1 << 16];
        for [first, second] in self.by_start.keys() {
            starts[usize::from(*first) << 8 | usize::from(*second)] = true;
        }
        starts
    }

    /// Names of those that stand at the beginning of `bytes`.
    pub(crate) fn at<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a str> {
        let start = bytes.first_chunk::<2>();
        let forms = start.and_then(|start| self.by_start.get(start)).into_iter().flatten();
        forms.filter(|(_, form)| bytes.starts_with(form)).map(|(number, _)| self.names[*number].as_str())
    }

    /// Names of those in `bytes`.
    pub(crate) fn within(&self, bytes: &[u8]) -> Vec<String> {
        let starts = self.starts();
        let mut found = std::collections::BTreeSet::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            if starts[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                found.extend(self.at(&bytes[at..]).map(str::to_owned));
            }
        }
        found.into_iter().collect()
    }
}

/// The part of a private key (PKCS#8) that is secret: the 32 bytes of a curve's scalar.
pub(crate) fn private_part(pkcs8: &[u8]) -> &[u8] {
    let at = pkcs8.windows(2).position(|pair| pair == [0x04, 0x20]).expect("a key of 32 bytes");
    &pkcs8[at + 2..at + 34]
}

/// The root key of a controller's directory.
pub(crate) fn root_key(cluster_dir: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(cluster_dir.join("root.key")).expect("a root key");
    STANDARD.decode(text.trim()).expect("base64")
}

/// What is in a file that `init` sealed, opened without Rempart's code, as a thief of both files would.
pub(crate) fn opened(cluster_dir: &Path, name: &str) -> Vec<u8> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"rempart root key 1");
    let mut key = [0; 32];
    let derived = salt.extract(&root_key(cluster_dir));
    derived.expand(&[b"files"], hkdf::HKDF_SHA256).expect("32 bytes").fill(&mut key).expect("32 bytes");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
    let sealed = std::fs::read(cluster_dir.join(name)).expect("a sealed file");
    let sealed = sealed.strip_prefix(b"rempart sealed file 1\n").expect("a sealed file");
    let (nonce, body) = sealed.split_at(12);
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("12 bytes");
    let mut body = body.to_vec();
    key.open_in_place(nonce, Aad::from(name), &mut body).expect("it opens").to_vec()
}

#[test]
fn every_form_of_a_secret_is_found_wherever_it_begins() {
    let mut canaries = Canaries::default();
    let secret = random_text(200);
    canaries.text("it", &secret);
    let check = |bytes: &[u8], expected: bool| {
        assert_eq!(!canaries.within(bytes).is_empty(), expected, "{}", String::from_utf8_lossy(bytes));
    };
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    check(hex.as_bytes(), true);
    check(serde_json::to_string(secret.as_bytes()).expect("JSON").as_bytes(), true);
    for around in ["", "a", "bc", "def"] {
        let text = format!("{around}{secret}{around}");
        check(text.as_bytes(), true);
        check(STANDARD.encode(&text).as_bytes(), true);
        check(serde_json::to_string(&text).expect("JSON").as_bytes(), true);
    }
    check(&secret.as_bytes()[..FRAGMENT - 1], false);
    check(random_text(5000).as_bytes(), false);
}
