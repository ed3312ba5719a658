//! Just enough of Rust to read what a file names: no parser, no dependencies.

/// `text` with comments and the insides of strings and character literals blanked. Every byte keeps its place.
pub(crate) fn without_words(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => char_end(bytes, at),
            byte if is_word(byte) => {
                let word = word_end(bytes, at);
                let raw = matches!(&bytes[at..word], b"r" | b"br" | b"cr");
                at = word;
                match raw.then(|| raw_string_end(bytes, word)).flatten() {
                    Some(end) => end,
                    None => continue,
                }
            }
            _ => at + 1,
        };
        let keep = end == at + 1;
        if !keep {
            for byte in &mut code[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end;
    }
    match String::from_utf8(code) {
        Ok(code) => code,
        Err(error) => unreachable!("whole characters are blanked: {error}"),
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// After the quote of a character literal; the next byte if it is a lifetime.
fn char_end(bytes: &[u8], quote: usize) -> usize {
    if bytes.get(quote + 1) == Some(&b'\\') {
        let rest = quote + 3;
        return bytes
            .iter()
            .skip(rest)
            .position(|byte| *byte == b'\'')
            .map_or(bytes.len(), |length| rest + length + 1);
    }
    // One character of one to four bytes, then a quote. Of two bytes before a quote both may only be one character.
    (2..=5)
        .find(|length| bytes.get(quote + length) == Some(&b'\''))
        .filter(|length| {
            std::str::from_utf8(&bytes[quote + 1..quote + length]).is_ok_and(|one| one.chars().count() == 1)
        })
        .map_or(quote + 1, |length| quote + length + 1)
}

/// The end of a raw string whose `r` ends at `at`; none for a raw identifier or anything else.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let start = at + hashes + 1;
    let length = bytes[start..].windows(end.len()).position(|window| window == end);
    Some(length.map_or(bytes.len(), |length| start + length + end.len()))
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| !is_word(*byte)).map_or(bytes.len(), |length| at + length)
}

fn skip_blank(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| !byte.is_ascii_whitespace()).map_or(bytes.len(), |length| at + length)
}

/// The ranges of `code` that exist in tests only: items under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = code.as_bytes();
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        if ranges.last().is_some_and(|last| last.contains(&start)) {
            continue;
        }
        let attribute = bracket_end(bytes, start + 1);
        let condition = &code[start..attribute];
        if words(condition, "test").next().is_none() || condition.contains("not(test") {
            continue;
        }
        let mut at = skip_blank(bytes, attribute);
        while bytes.get(at) == Some(&b'#') {
            at = skip_blank(bytes, bracket_end(bytes, at + 1));
        }
        let mut end = bytes.len();
        while at < bytes.len() {
            match bytes[at] {
                b';' => end = at + 1,
                b'{' => end = bracket_end(bytes, at),
                b'(' | b'[' => {
                    at = bracket_end(bytes, at);
                    continue;
                }
                _ => {
                    at += 1;
                    continue;
                }
            }
            break;
        }
        ranges.push(start..end);
    }
    ranges
}

/// After the bracket that closes the one at `at`.
fn bracket_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0;
    for (length, byte) in bytes[at..].iter().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + length + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// `code` without what exists in tests only.
pub(crate) fn without_tests(code: &str) -> String {
    split_tests(code, false)
}

/// What exists in tests only.
pub(crate) fn only_tests(code: &str) -> String {
    split_tests(code, true)
}

fn split_tests(code: &str, tests: bool) -> String {
    let ranges = test_items(code);
    let blank = |(at, one): (usize, char)| {
        let inside = ranges.iter().any(|range| range.contains(&at));
        if inside == tests || one == '\n' { String::from(one) } else { " ".repeat(one.len_utf8()) }
    };
    code.char_indices().map(blank).collect()
}

/// Where `word` stands in `code` as a word of its own.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|after| is_word(*after));
        !before && !after
    })
}

/// A path that code names: `std::fs::read`, also as a branch of a `use` tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    /// Where its last part stands.
    pub(crate) at: usize,
    /// From a `use`.
    pub(crate) imported: bool,
}

impl Path {
    pub(crate) fn starts_with(&self, segments: &[&str]) -> bool {
        self.segments.iter().map(String::as_str).take(segments.len()).eq(segments.iter().copied())
    }

    pub(crate) fn first(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }
}

/// Every path in `code` (without words).
pub(crate) fn paths(code: &str) -> Vec<Path> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let end = word_end(bytes, at);
        let goes_on = at >= 2
            && &bytes[at - 2..at] == b"::"
            && at.checked_sub(3).is_some_and(|at| is_word(bytes[at]) || bytes[at] == b'>');
        if &code[at..end] == "use"
            && matches!(bytes.get(skip_blank(bytes, end)), Some(byte) if is_word(*byte) || *byte == b'{' || *byte == b':')
        {
            at = use_tree(code, end, &[], &mut found);
        } else {
            let (path, after) = chain(code, at);
            if !goes_on {
                found.push(path);
            }
            at = after;
        }
    }
    found
}

/// The path that starts at `at`, and what follows it.
fn chain(code: &str, at: usize) -> (Path, usize) {
    let bytes = code.as_bytes();
    let (mut at, mut end) = (at, word_end(bytes, at));
    let mut segments = vec![code[at..end].to_owned()];
    while code[end..].starts_with("::") && bytes.get(end + 2).is_some_and(|byte| is_word(*byte)) {
        at = end + 2;
        end = word_end(bytes, at);
        segments.push(code[at..end].to_owned());
    }
    (Path { segments, at, imported: false }, end)
}

/// Reads one tree of a `use` from `at` on; returns what follows it.
fn use_tree(code: &str, at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let bytes = code.as_bytes();
    let mut segments = prefix.to_vec();
    let mut last = at;
    let mut at = skip_blank(bytes, at);
    while at < bytes.len() {
        match bytes[at] {
            b':' | b'*' => at += 1,
            b'{' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'}' {
                    let after = use_tree(code, at, &segments, found);
                    let comma = bytes.get(after) == Some(&b',');
                    at = skip_blank(bytes, after + usize::from(comma || after == at));
                }
                return skip_blank(bytes, (at + 1).min(bytes.len()));
            }
            byte if is_word(byte) => {
                let end = word_end(bytes, at);
                if &code[at..end] == "as" {
                    at = word_end(bytes, skip_blank(bytes, end));
                } else {
                    segments.push(code[at..end].to_owned());
                    (last, at) = (at, end);
                }
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => break,
        }
    }
    if segments.len() > prefix.len() || !prefix.is_empty() {
        found.push(Path { segments, at: last, imported: true });
    }
    at
}

#[test]
fn words_are_blanked_and_code_is_kept() {
    let check = |text: &str, expected: &str| assert_eq!(without_words(text), expected, "{text}");
    check("a // b\nc", "a     \nc");
    check("a /* b /* c */ d */ e", "a                   e");
    check(r#"f("x \" y", z)"#, r"f(        , z)");
    check(r##"r#"a " b"# c r#type"##, r"r          c r#type");
    check(r"'a' '\'' '\u{e9}' 'é' &'a str <'_>", r"                       &'a str <'_>");
    check("b\"x\" number", "b    number");
    check("\"unfinished", "           ");
}

#[test]
fn test_items_are_found() {
    let check =
        |code: &str, kept: &str| assert_eq!(without_tests(code).split_whitespace().collect::<String>(), kept);
    check("fn a() {} #[cfg(test)] mod tests { fn b() { x } } fn c() {}", "fna(){}fnc(){}");
    check("#[cfg(test)] mod tests; fn c() {}", "fnc(){}");
    check("#[cfg(test)] #[allow(x)] fn b(a: [u8; 2]) -> u8 { 1 } fn c() {}", "fnc(){}");
    check("#[cfg(not(test))] fn c() {}", "#[cfg(not(test))]fnc(){}");
    assert_eq!(only_tests("fn a() {} #[cfg(test)] mod b;").trim(), "#[cfg(test)] mod b;");
}

#[test]
fn paths_are_found_in_use_trees_and_in_code() {
    let check = |code: &str, expected: &[&str]| {
        let found: Vec<String> = paths(code).iter().map(|path| path.segments.join("::")).collect();
        for path in expected {
            assert!(found.iter().any(|found| found == path), "{path} in {code}: {found:?}");
        }
    };
    check(
        "use std::{fs, time::{Duration, SystemTime as Now}};",
        &["std::fs", "std::time::Duration", "std::time::SystemTime"],
    );
    check(
        "use crate::{\n    raft::{self, Node},\n    store,\n};\nlet a = b::c();",
        &["crate::raft::self", "crate::store", "b::c"],
    );
    check("use openraft;", &["openraft"]);
    check("pub(crate) use super::x::*;", &["super::x"]);
    check("use {a::b, c};", &["a::b", "c"]);
    check("let x = ::std::env::var(y);", &["std::env::var"]);
    check("fn f() -> impl Sized + use<'a> { g::h() }", &["g::h"]);
    assert!(!paths("a::virt::b").iter().any(|path| path.first() == "virt"));
}
