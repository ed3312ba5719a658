//! Decimal numbers as labels have them: of any length, and compared exactly.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// A number: digits, with a minus and a fraction if need be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Number {
    negative: bool,
    /// Before the point, without zeros in front.
    whole: String,
    /// Behind the point, without zeros at the end.
    fraction: String,
}

impl Number {
    /// None for what is no number here: exponents, `NaN`, `inf`, a plus, digits of other scripts.
    pub(super) fn parse(text: &str) -> Option<Number> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        // There is one zero.
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Number { negative, whole, fraction })
    }

    fn magnitude(&self, other: &Number) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(&other.whole));
        whole.then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
