//! Tokens used up before there is a log that could say so: a file of the founder, which alone takes controllers in until
//! the cluster is founded. (Founding waits for all of them. From then on, tokens from before are refused altogether.)

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rempart_identity::file::{read_secret, write_secret};
use uuid::Uuid;

pub(super) struct FoundingTokens {
    path: PathBuf,
    used: Mutex<BTreeSet<Uuid>>,
}

impl FoundingTokens {
    /// Reads what was used before.
    pub(super) fn open(path: PathBuf) -> io::Result<FoundingTokens> {
        let used = match read_secret(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        Ok(FoundingTokens { path, used: Mutex::new(used) })
    }

    /// Uses up a token: true once per id, and durable before it says so. Blocks.
    pub(super) fn use_up(&self, id: Uuid) -> io::Result<bool> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(&id) {
            return Ok(false);
        }
        let mut next = used.clone();
        next.insert(id);
        write_secret(&self.path, &serde_json::to_vec(&next)?)?;
        *used = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_once_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("used.json");
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let tokens = FoundingTokens::open(path.clone()).unwrap();
        assert!(tokens.use_up(first).unwrap());
        assert!(!tokens.use_up(first).unwrap());
        let tokens = FoundingTokens::open(path.clone()).unwrap();
        assert!(!tokens.use_up(first).unwrap());
        assert!(tokens.use_up(second).unwrap());
        std::fs::write(&path, b"[").unwrap();
        assert!(FoundingTokens::open(path).is_err(), "a damaged file is not an empty one");
    }
}
