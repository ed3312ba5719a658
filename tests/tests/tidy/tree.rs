//! The tree as the rules see it: every file that is tracked, or would be by `git add --all`.

use std::path::Path;
use std::process::Command;

use crate::rust;

/// One file.
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// Empty for a binary file.
    pub(crate) text: String,
    /// Rust: the text with comments and the insides of strings blanked, byte for byte. Otherwise the text.
    pub(crate) code: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> File {
        let code = if path.ends_with(".rs") { rust::without_words(text) } else { text.to_owned() };
        File { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// `path:line` of a byte in text or code.
    pub(crate) fn line(&self, byte: usize) -> String {
        let line = 1 + self.text.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count();
        format!("{}:{line}", self.path)
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Rust that runs in tests only, as a whole file: below a directory `tests` or `testing`, or a file of that name.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "testing" | "tests.rs" | "testing.rs"))
    }
}

/// All files.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// A tree for a rule's own tests.
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| File::new(path, text)).collect() }
    }

    /// This checkout.
    pub(crate) fn checkout() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // safe.directory: a build machine may run as somebody else than the checkout's owner.
        let list = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output();
        let list = match list {
            Ok(list) if list.status.success() => list.stdout,
            Ok(list) => panic!("git cannot list this tree: {}", String::from_utf8_lossy(&list.stderr)),
            Err(error) => panic!("git is needed to list this tree; install it: {error}"),
        };
        let mut files = Vec::new();
        for path in String::from_utf8_lossy(&list).split_terminator('\0') {
            // Tracked, and deleted in the working tree.
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            let text =
                if bytes.contains(&0) { String::new() } else { String::from_utf8_lossy(&bytes).into_owned() };
            files.push(File::new(path, &text));
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files.dedup_by(|one, other| one.path == other.path);
        let seen = |path: &str| files.iter().any(|file| file.path == path);
        assert!(
            seen("Cargo.toml") && seen("controller/model/src/lib.rs"),
            "git lists {} files: not this tree",
            files.len()
        );
        Tree { files }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(crate) fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.starts_with(directory))
    }
}
