//! What `controller/model` must not name: everything that could make two replicas differ. Its tests may.

use crate::Finding;
use crate::manifests;
use crate::rust::{self, Path};
use crate::tree::Tree;

const MODEL: &str = "controller/model/";

/// Libraries that wait, talk, or draw lots.
const LIBRARIES: &[&str] =
    &["tokio", "sqlx", "tonic", "rand", "getrandom", "reqwest", "axum", "rustix", "libc", "futures"];

/// Paths, by their first segments.
const PATHS: &[(&[&str], &str)] = &[
    (&["std", "fs"], "the caller reads files"),
    (&["std", "net"], "the caller has sockets; import addresses one by one"),
    (&["std", "env"], "settings that matter are in the State"),
    (&["std", "thread"], "the caller has threads"),
    (&["std", "process"], "the caller has processes"),
];

/// What is plain data all the same.
const PLAIN: &[&[&str]] = &[
    &["std", "net", "IpAddr"],
    &["std", "net", "Ipv4Addr"],
    &["std", "net", "Ipv6Addr"],
    &["std", "net", "AddrParseError"],
];

/// Words, wherever they stand.
const WORDS: &[(&str, &str)] = &[
    ("SystemTime", "time comes with the entry; State's clock is core.clock"),
    ("Instant", "time comes with the entry; deadlines run on the leader"),
    ("HashMap", "its order differs between replicas; use imbl::OrdMap or BTreeMap"),
    ("HashSet", "its order differs between replicas; use imbl::OrdSet or BTreeSet"),
    ("RandomState", "randomness comes with the entry"),
    ("f32", "floats are not the same everywhere; use integers"),
    ("f64", "floats are not the same everywhere; use integers"),
    ("now_v6", "identifiers are minted by the leader and come with the entry"),
    ("now_v7", "identifiers are minted by the leader and come with the entry"),
    ("new_v4", "identifiers are minted by the leader and come with the entry"),
];

const WHY: &str = "every replica applies the same entries and must arrive at the same State; so nothing may enter but \
                   State and entry";

pub(crate) fn rule(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.below(MODEL) {
        if file.path.ends_with("/Cargo.toml") {
            // Also for tests: the library would be within reach.
            for dependency in manifests::dependencies(file) {
                if LIBRARIES.contains(&dependency.name.as_str()) {
                    let what = format!("the model depends on {}", dependency.name);
                    findings.push(Finding::new(
                        dependency.at,
                        what,
                        WHY,
                        "remove it; let the caller do what it is for",
                    ));
                }
            }
        }
        if !file.is_rust() || file.is_test() || file.path.starts_with("controller/model/benches/") {
            continue;
        }
        let code = rust::without_tests(&file.code);
        let mut add = |at: usize, what: &str, next: &str| {
            findings.push(Finding::new(file.line(at), format!("the model names {what}"), WHY, next));
        };
        for path in rust::paths(&code) {
            if LIBRARIES.contains(&path.first()) && (path.imported || path.segments.len() > 1) {
                add(path.at, path.first(), "let the caller do what it is for");
            }
            let impure = PATHS.iter().find(|(prefix, _)| path.starts_with(prefix));
            if let Some((prefix, next)) =
                impure.filter(|_| !PLAIN.iter().any(|plain| path.starts_with(plain)))
            {
                add(path.at, &prefix.join("::"), next);
            }
            if let Some((word, next)) = WORDS.iter().find(|(word, _)| names(&path, word)) {
                add(path.at, word, next);
            }
        }
        for at in float_literals(&code) {
            add(at, "a floating-point number", "floats are not the same everywhere; use integers");
        }
    }
    findings
}

fn names(path: &Path, word: &str) -> bool {
    path.segments.iter().any(|segment| segment == word)
}

/// `1.5`, `1f64`; not `x.0.1` and not `0..1`.
fn float_literals(code: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !rust::is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && rust::is_word(bytes[at]) {
            at += 1;
        }
        let hexadecimal = code[start..].starts_with("0x");
        let suffixed = !hexadecimal && (code[..at].ends_with("f32") || code[..at].ends_with("f64"));
        let after_dot = start > 0 && bytes[start - 1] == b'.' && !(start > 1 && bytes[start - 2] == b'.');
        let fraction = bytes.get(at) == Some(&b'.') && digit(at + 1) && !after_dot;
        if digit(start) && (suffixed || fraction) {
            found.push(start);
        }
    }
    found
}

#[test]
fn impurity_is_found() {
    let check = |text: &str, expected: usize| {
        let findings = rule(&Tree::of(&[("controller/model/src/apply/put.rs", text)]));
        assert_eq!(findings.len(), expected, "{text}: {findings:?}");
    };
    check("use tokio::sync::Notify;", 1);
    check("use std::net; let a = std::net::TcpStream::connect(b);", 2);
    check("use std::{fs, collections::BTreeMap};", 1);
    check("use std::collections::{HashMap, HashSet};", 2);
    check("let now = std::time::Instant::now();", 1);
    check("use std::time::{Duration, SystemTime};", 1);
    check("let uid = Uuid::now_v7();", 1);
    check("let share: f64 = taken as f64;", 2);
    check("let share = 1.5; let other = 1f32;", 2);
    check("let x = pair.0.1 + tuple.1; for i in 0..1 {} let hex = 0x1f32; rand(1)", 0);
    check(
        "use std::time::Duration; use std::net::{Ipv4Addr, Ipv6Addr}; // HashMap\nlet a = \"f64\"; struct Instance;",
        0,
    );
    check("#[cfg(test)] mod tests { use std::collections::HashMap; }", 0);
}

#[test]
fn impurity_is_found_in_the_manifest_and_passed_over_in_tests() {
    let manifest = "[package]\nname = \"rempart-model\"\n[dev-dependencies]\nrand.workspace = true\n";
    assert_eq!(rule(&Tree::of(&[("controller/model/Cargo.toml", manifest)])).len(), 1);
    assert_eq!(rule(&Tree::of(&[("controller/model/src/apply/tests.rs", "use std::fs;")])).len(), 0);
    assert_eq!(rule(&Tree::of(&[("controller/src/run.rs", "use std::fs;")])).len(), 0);
}
