//! Secret fields of specs: what a client may send in clear, and what is stored.
//!
//! The core never sees a key. What it stores of a secret is what the leader sealed: text that begins with
//! [`SEALED_PREFIX`]. The bounds clients are promised hold for the clear text, so they are checked before it is sealed;
//! the core itself checks that what is stored is bounded, in either form.

use super::Spec;
use crate::refusal::{Fault, Refusal};

/// How a sealed text begins; base64 follows.
pub const SEALED_PREFIX: &str = "sealed:v1:";

/// Most characters of a secret in clear.
const MAX_CLEAR_CHARACTERS: usize = 65_536;

/// Most bytes of its sealed form: every character of four bytes, a kilobyte for nonce, tag and names, in base64.
const MAX_SEALED_BYTES: usize = SEALED_PREFIX.len() + (MAX_CLEAR_CHARACTERS * 4 + 1024).div_ceil(3) * 4;

impl Spec {
    /// What a client sent in clear, before it is sealed: within its bounds, and not sealed by somebody else.
    ///
    /// # Errors
    /// Names every field at fault.
    pub fn check_clear_secrets(&mut self) -> Result<(), Refusal> {
        let mut faults = Vec::new();
        for (field, text) in self.secrets_mut() {
            let pointer = format!("/spec/{field}");
            if text.starts_with(SEALED_PREFIX) {
                let why = format!(
                    "must not begin with {SEALED_PREFIX:?}, which marks what the control plane sealed"
                );
                faults.push(Fault::new(pointer, why));
            } else {
                check_clear(&mut faults, &pointer, text);
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
    }
}

/// Records a fault unless `text` is a secret as it may be stored.
pub(super) fn check_stored(faults: &mut Vec<Fault>, pointer: &str, text: &str) {
    if !text.starts_with(SEALED_PREFIX) {
        check_clear(faults, pointer, text);
    } else if text.len() > MAX_SEALED_BYTES {
        faults.push(Fault::new(
            pointer,
            format!("at most {MAX_SEALED_BYTES} bytes sealed, has {}", text.len()),
        ));
    }
}

fn check_clear(faults: &mut Vec<Fault>, pointer: &str, text: &str) {
    let length = text.chars().count();
    if length > MAX_CLEAR_CHARACTERS {
        faults.push(Fault::new(pointer, format!("at most {MAX_CLEAR_CHARACTERS} characters, has {length}")));
    }
}

#[cfg(test)]
mod tests;
