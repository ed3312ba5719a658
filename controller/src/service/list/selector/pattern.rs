//! Text in which `*` stands for any run of characters, also for none.

use serde::{Deserialize, Serialize};

/// A pattern. It has no way to be exponential: each part is searched for once, from where the one before ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pattern {
    /// What stands between the stars: the first begins the text, the last ends it. Only those two may be empty.
    parts: Vec<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        let all: Vec<&str> = text.split('*').collect();
        let last = all.len() - 1;
        let kept = all.iter().enumerate().filter(|(at, part)| *at == 0 || *at == last || !part.is_empty());
        Pattern { parts: kept.map(|(_, part)| (*part).to_owned()).collect() }
    }

    /// The one text it matches, if it has no star.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.parts[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let (first, middle, last) = match &self.parts[..] {
            [first, middle @ .., last] => (first, middle, last),
            [one] => return one == text,
            [] => return false,
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            // The earliest place leaves the most for what comes after it.
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}
