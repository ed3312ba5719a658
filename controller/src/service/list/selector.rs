//! Label selectors (`labels=` of SECA): terms separated by commas, all of which have to hold.
//!
//! ```text
//!   key=value  key==value  key!=value    equal; not equal, also where there is no such label
//!   key>5  key>=5  key<5.5  key<=-1      as numbers; a label that is none does not match
//!   key  !key                            there is such a label; there is none
//!   *k*=*v*                              `*` is any run of characters, in keys and in values (not in numbers)
//! ```
//!
//! What always holds: a selector is parsed once, is bounded in length and terms, and looks at an object in time that grows
//! with the object's labels and the selector's length alone. Whitespace around keys and values does not count; case does.
//!
//! Deliberately absent: `in (...)` and `notin (...)`, whose commas would be ambiguous; an escape for `*`; OR.

use std::cmp::Ordering;

use rempart_api::StringMap;
use serde::{Deserialize, Serialize};

mod number;
mod pattern;

use number::Number;
use pattern::Pattern;

/// Longest selector, in characters.
pub(crate) const MAX_CHARACTERS: usize = 2048;
/// Most terms.
pub(crate) const MAX_TERMS: usize = 32;

/// A parsed selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// As the client wrote it: what a page's token is bound to.
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Term {
    Present(Pattern),
    Absent(Pattern),
    Equal(Pattern, Pattern),
    NotEqual(Pattern, Pattern),
    Compared(Pattern, Comparison, Number),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
        }
    }
}

/// Not a selector. Says where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {why}")]
pub struct SelectorError {
    /// Position, from 1.
    pub at: usize,
    /// What is wrong there, and what is allowed.
    pub why: String,
}

impl Selector {
    /// Parses.
    ///
    /// # Errors
    /// [`SelectorError`].
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let length = text.chars().count();
        if length > MAX_CHARACTERS {
            let why = format!("a selector has at most {MAX_CHARACTERS} characters, and this one {length}");
            return Err(SelectorError { at: MAX_CHARACTERS + 1, why });
        }
        let mut terms = Vec::new();
        let mut at = 1;
        for part in text.split(',') {
            if terms.len() == MAX_TERMS {
                return Err(SelectorError { at, why: format!("a selector has at most {MAX_TERMS} terms") });
            }
            terms.push(Term::parse(part, at)?);
            at += part.chars().count() + 1;
        }
        Ok(Selector { text: text.to_owned(), terms })
    }

    /// As the client wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How often [`matches`](Self::matches) may have to look at a label: where a key has a star, at each of them.
    pub(super) fn looks(&self, labels: &StringMap) -> usize {
        self.terms.iter().map(|term| if term.key().literal().is_some() { 1 } else { labels.len() }).sum()
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &StringMap) -> bool {
        self.terms.iter().all(|term| term.matches(labels))
    }
}

impl Term {
    /// `part` begins at character `at` of the selector.
    fn parse(part: &str, at: usize) -> Result<Term, SelectorError> {
        let trimmed = part.trim_start();
        let at = at + part.chars().count() - trimmed.chars().count();
        let part = trimmed.trim_end();
        let error = |offset: usize, why: &str| {
            let at = at + part[..offset].chars().count();
            SelectorError { at, why: why.to_owned() }
        };
        if part.is_empty() {
            return Err(error(0, "a term is missing; terms are separated by single commas"));
        }
        if let Some(key) = part.strip_prefix('!') {
            if let Some(operator) = key.find(['=', '!', '<', '>']) {
                return Err(error(operator + 1, "!key takes no value; for that write key!=value"));
            }
            return Ok(Term::Absent(key_of(key, &|why| error(1, why))?));
        }
        let Some(operator) = part.find(['=', '!', '<', '>']) else {
            return Ok(Term::Present(key_of(part, &|why| error(0, why))?));
        };
        let (key, rest) = part.split_at(operator);
        let key = key_of(key, &|why| error(0, why))?;
        let after = |sign: &str| rest.strip_prefix(sign).map(str::trim);
        let compared = |comparison, value: &str| match Number::parse(value) {
            Some(number) => Ok(Term::Compared(key.clone(), comparison, number)),
            None => Err(error(
                part.len() - value.len(),
                "after > >= < <= there must be a number, such as 5, -3 or 2.5",
            )),
        };
        if let Some(value) = after("!=") {
            Ok(Term::NotEqual(key, Pattern::new(value)))
        } else if let Some(value) = after("==").or_else(|| after("=")) {
            Ok(Term::Equal(key, Pattern::new(value)))
        } else if let Some(value) = after(">=") {
            compared(Comparison::GreaterOrEqual, value)
        } else if let Some(value) = after("<=") {
            compared(Comparison::LessOrEqual, value)
        } else if let Some(value) = after(">") {
            compared(Comparison::Greater, value)
        } else if let Some(value) = after("<") {
            compared(Comparison::Less, value)
        } else {
            Err(error(operator, "! stands before a key, or before = as in key!=value"))
        }
    }

    fn key(&self) -> &Pattern {
        match self {
            Term::Present(key)
            | Term::Absent(key)
            | Term::Equal(key, _)
            | Term::NotEqual(key, _)
            | Term::Compared(key, ..) => key,
        }
    }

    fn matches(&self, labels: &StringMap) -> bool {
        match self {
            Term::Present(key) => any(labels, key, |_| true),
            Term::Absent(key) => !any(labels, key, |_| true),
            Term::Equal(key, value) => any(labels, key, |label| value.matches(label)),
            Term::NotEqual(key, value) => !any(labels, key, |label| value.matches(label)),
            Term::Compared(key, comparison, number) => any(labels, key, |label| {
                Number::parse(label).is_some_and(|label| comparison.holds(label.cmp(number)))
            }),
        }
    }
}

/// The labels whose keys match, until one is as wanted.
fn any(labels: &StringMap, key: &Pattern, wanted: impl Fn(&str) -> bool) -> bool {
    match key.literal() {
        Some(key) => labels.get(key).is_some_and(|label| wanted(label)),
        None => labels.iter().any(|(name, label)| key.matches(name) && wanted(label)),
    }
}

fn key_of(text: &str, error: &dyn Fn(&str) -> SelectorError) -> Result<Pattern, SelectorError> {
    let key = text.trim();
    if key.is_empty() {
        return Err(error("the key of a label is missing"));
    }
    if key.contains(char::is_whitespace) {
        return Err(error(
            "a key has no whitespace in it; `in (...)` and `notin (...)` are not known here: write one term per value, \
             such as key!=value",
        ));
    }
    Ok(Pattern::new(key))
}

#[cfg(test)]
mod tests;
