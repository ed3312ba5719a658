//! Texts that a person gives by name: a file, or `-` for standard input. Each has a bound.
//!
//! Reading waits in a thread of its own, so that Ctrl-C ends a command that waits for standard input.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::failure::{Failure, Result};

/// What `path` is called in a sentence.
pub(crate) fn called(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// The text there, of `max_bytes` at most.
pub(crate) async fn text(path: &Path, max_bytes: u64) -> Result<String> {
    let from = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let read = if from == Path::new("-") {
            std::io::stdin().take(max_bytes + 1).read_to_string(&mut text)
        } else {
            File::open(&from).and_then(|file| file.take(max_bytes + 1).read_to_string(&mut text))
        };
        read.map(|_| text)
    });
    let name = called(path);
    let read = read.await.map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
    let text = read.map_err(|error| Failure::file("read", Path::new(&name), &error))?;
    if text.len() as u64 > max_bytes {
        return Err(Failure::usage(format!("{name} is larger than {}", crate::quantity::bytes(max_bytes)))
            .next("Is it the file that was meant?"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_says_what_to_look_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let missing = text(&path, 4).await.unwrap_err().text;
        assert!(missing.contains("/x") && missing.contains("Is the path right?"), "{missing}");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(text(&path, 4).await.unwrap(), "1234");
        let large = text(&path, 3).await.unwrap_err().text;
        assert!(large.contains("larger than 3 B"), "{large}");
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(text(&path, 4).await.unwrap_err().text.contains("is no text"));
        assert!(text(dir.path(), 4).await.unwrap_err().text.contains("is a directory"));
    }
}
