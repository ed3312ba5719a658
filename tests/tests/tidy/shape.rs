//! The shape of files: their size, their names, how they open, and where `unsafe` is.

use crate::rust;
use crate::tree::{File, Tree};
use crate::{Exceptions, Finding, stale};

const MAX_LINES: usize = 500;

/// Longer files that are better in one piece, and why.
const LONG: Exceptions = &[];

pub(crate) fn short_files(tree: &Tree) -> Vec<Finding> {
    check_lengths(tree, LONG)
}

fn check_lengths(tree: &Tree, exceptions: Exceptions) -> Vec<Finding> {
    let long: Vec<(&File, usize)> = tree
        .rust()
        .filter(|file| !file.is_test())
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    let needed: Vec<&str> = long.iter().map(|(file, _)| file.path.as_str()).collect();
    let unlisted = long.iter().filter(|(file, _)| !is_listed(exceptions, file));
    unlisted
        .map(|(file, lines)| {
            Finding::new(
                &file.path,
                format!("has {lines} lines, more than {MAX_LINES}"),
                "a file that long holds more than one thought, and nobody reads it whole",
                "split it by concern (tests go to a sibling file), or list it with a reason in LONG in \
                 tests/tests/tidy/shape.rs",
            )
        })
        .chain(stale("LONG", exceptions, &needed))
        .collect()
}

fn is_listed(exceptions: Exceptions, file: &File) -> bool {
    exceptions.iter().any(|(path, _)| *path == file.path)
}

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["helper", "helpers", "util", "utils", "common", "misc"];

pub(crate) fn telling_names(tree: &Tree) -> Vec<Finding> {
    let why = "what has no name of its own collects what has no place of its own";
    let next = "name it after what it is about, or move its parts to where they are used";
    let mut findings = Vec::new();
    for file in &tree.files {
        let stem = |part: &str| part.split('.').next().unwrap_or(part).to_lowercase();
        if let Some(part) = file.path.split('/').find(|part| EMPTY_NAMES.contains(&stem(part).as_str())) {
            findings.push(Finding::new(&file.path, format!("is called {part}"), why, next));
        }
        if file.is_rust() {
            for at in rust::words(&file.code, "mod") {
                let name = file.code[at + 3..].trim_start();
                let name = name.split(|one: char| !one.is_alphanumeric() && one != '_').next().unwrap_or("");
                if EMPTY_NAMES.contains(&name) {
                    findings.push(Finding::new(file.line(at), format!("has a module {name}"), why, next));
                }
            }
        }
    }
    findings
}

pub(crate) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        // A sibling file of unit tests is about what its module is about.
        let unit_tests =
            file.path.split_once("src/").is_some_and(|(_, inside)| File::new(inside, "").is_test());
        let opening = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
        if !unit_tests && !opening.is_some_and(|line| line.starts_with("//!")) {
            findings.push(Finding::new(
                format!("{}:1", file.path),
                "does not open with //!",
                "the first line says what a module is for, and what it leaves to others",
                "open it with //! and one sentence; a module with states draws them there",
            ));
        }
    }
    findings
}

/// Files that may say `unsafe`, and what makes it sound. Each also needs `#[allow(unsafe_code)]`, which the workspace denies.
const UNSAFE: Exceptions = &[
    (
        "agent/src/vm/libvirt/events.rs",
        "libvirt's callbacks, which its binding does not wrap; each call says who owns what, and for how long",
    ),
    (
        "controller/src/store/embedded/server.rs",
        "pre_exec makes two async-signal-safe system calls, so that Postgres does not outlive a controller that was killed",
    ),
];

pub(crate) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    check_unsafe(tree, UNSAFE)
}

fn check_unsafe(tree: &Tree, exceptions: Exceptions) -> Vec<Finding> {
    let naming: Vec<(&File, usize)> = tree
        .rust()
        .filter_map(|file| rust::words(&file.code, "unsafe").next().map(|at| (file, at)))
        .collect();
    let needed: Vec<&str> = naming.iter().map(|(file, _)| file.path.as_str()).collect();
    let unlisted = naming.iter().filter(|(file, _)| !is_listed(exceptions, file));
    unlisted
        .map(|(file, at)| {
            Finding::new(
                file.line(*at),
                "says unsafe",
                "what the compiler does not check, everybody who touches the file has to",
                "do without it, or keep it in a small file and list that, with what makes it sound, in UNSAFE in \
                 tests/tests/tidy/shape.rs",
            )
        })
        .chain(stale("UNSAFE", exceptions, &needed))
        .collect()
}

#[test]
fn a_long_file_is_found() {
    let text = "\n".repeat(MAX_LINES + 1);
    let check = |path: &str, text: &str, exceptions, expected: usize| {
        assert_eq!(check_lengths(&Tree::of(&[(path, text)]), exceptions).len(), expected, "{path}");
    };
    check("api/src/a.rs", &text, &[], 1);
    check("api/src/a.rs", &text[1..], &[], 0);
    check("api/src/a/tests.rs", &text, &[], 0);
    check("api/src/a.rs", &text, &[("api/src/a.rs", "a table")], 0);
    check("api/src/a.rs", "", &[("api/src/a.rs", "a table")], 1);
}

#[test]
fn an_empty_name_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(telling_names(&Tree::of(&[(path, text)])).len(), expected, "{path}: {text}");
    };
    check("api/src/utils.rs", "", 1);
    check("tests/src/common/mod.rs", "", 1);
    check("scripts/Helper.sh", "", 1);
    check("api/src/a.rs", "mod misc { }", 1);
    check("api/src/commonwealth.rs", "mod utilities; // mod misc", 0);
}

#[test]
fn a_module_without_docs_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(module_docs(&Tree::of(&[(path, text)])).len(), expected, "{path}: {text}");
    };
    check("api/src/a.rs", "//! What it is.\nuse b;", 0);
    check("api/src/a.rs", "#![no_std]\n\n//! What it is.", 0);
    check("api/src/a.rs", "use b;\n//! What it is.", 1);
    check("api/src/a.rs", "/// What comes next.", 1);
    check("api/src/a.rs", "", 1);
    check("api/src/a/tests.rs", "use super::*;", 0);
    check("tests/tests/demo.rs", "use std::fs;", 1);
    check("tests/src/lib.rs", "use std::fs;", 1);
}

#[test]
fn unlisted_unsafe_is_found() {
    let check = |text: &str, exceptions, expected: usize| {
        assert_eq!(
            check_unsafe(&Tree::of(&[("agent/src/a.rs", text)]), exceptions).len(),
            expected,
            "{text}"
        );
    };
    check("fn f() { unsafe { g() } }", &[], 1);
    check("fn f() { unsafe { g() } }", &[("agent/src/a.rs", "g checks its argument")], 0);
    check("#![allow(unsafe_code)] // unsafe\nlet a = \"unsafe\";", &[], 0);
    check("", &[("agent/src/a.rs", "g checks its argument")], 1);
}
