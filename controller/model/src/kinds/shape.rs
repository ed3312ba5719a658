//! From JSON to a type, with errors for the client who wrote the JSON: where, what it must be, what it is.
//!
//! What always holds: no name of a type of ours is shown, and of what the client sent no more than a few characters.

use rempart_api::{Kind, Reference};
use serde_json::Value;

mod typed;

#[cfg(test)]
mod tests;

use typed::Typed;

/// JSON that does not have the shape it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {why}")]
pub struct SpecError {
    /// JSON Pointer of the field, from the root that was given.
    pub pointer: String,
    /// What is wrong.
    pub why: String,
    /// Whether it is of the wrong type.
    pub wrong: Wrong,
}

/// What kind of wrong: SECA tells JSON of another type (400) from values that are not allowed (422).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Of another type than it has to be.
    Type,
    /// Of the right type, and none of the values it may have: not one of the words, beyond every bound, missing. Null is
    /// as good as missing.
    Value,
}

/// Reads `json`, an object that stands at the pointer `root` of a body.
///
/// # Errors
/// When it has another shape.
pub fn read_shape<T: serde::de::DeserializeOwned>(root: &str, json: &Value) -> Result<T, SpecError> {
    serde_path_to_error::deserialize(Typed(json)).map_err(|error| {
        let mut below = String::new();
        for segment in error.path().iter() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => below.push_str(&format!("/{index}")),
                Segment::Map { key } => below.push_str(&format!("/{}", escaped(key))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let text = error.into_inner().to_string();
        let required = |pointer| SpecError { pointer, why: "is required".to_owned(), wrong: Wrong::Value };
        if let Some(field) = quoted(&text, "missing field `") {
            return required(format!("{root}{below}/{}", escaped(field)));
        }
        let pointer = format!("{root}{below}");
        match json.pointer(&below) {
            Some(Value::Null) => required(pointer),
            found => SpecError { pointer, why: words(&text, found), wrong: wrong(&text, found) },
        }
    })
}

fn wrong(text: &str, found: Option<&Value>) -> Wrong {
    let beyond = |number: &serde_json::Number| {
        // What is too long for 64 bits is read with an exponent.
        let huge = || number.to_string().split_once('e').is_some_and(|(_, power)| !power.starts_with('-'));
        expects_whole(text) && (number.is_i64() || number.is_u64() || huge())
    };
    match found {
        Some(Value::String(_)) if text.starts_with("unknown variant") => Wrong::Value,
        Some(Value::Number(number)) if beyond(number) => Wrong::Value,
        _ => Wrong::Type,
    }
}

fn expects_whole(text: &str) -> bool {
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| expected);
    matches!(expected, Some("u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" | "isize"))
}

/// Reads a client's spec. `10.0` is a whole number to JSON Schema, and some clients write it so.
pub(super) fn read_spec<T: serde::de::DeserializeOwned>(kind: Kind, json: &Value) -> Result<T, SpecError> {
    // What a workspace has for a spec is kept as it was sent.
    if kind != Kind::Workspace && has_pointed(json) {
        return read_shape("/spec", &without_point(json));
    }
    read_shape("/spec", json)
}

/// The whole number that is written with a zero behind the point.
fn whole(json: &Value) -> Option<i64> {
    let Value::Number(number) = json else { return None };
    number.to_string().strip_suffix(".0")?.parse().ok()
}

fn has_pointed(json: &Value) -> bool {
    match json {
        Value::Array(items) => items.iter().any(has_pointed),
        Value::Object(members) => members.values().any(has_pointed),
        other => whole(other).is_some(),
    }
}

fn without_point(json: &Value) -> Value {
    match json {
        Value::Array(items) => items.iter().map(without_point).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), without_point(value))).collect()
        }
        other => whole(other).map_or_else(|| other.clone(), Value::from),
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.split('`').next()
}

/// serde's words in ours. They end with what was expected; what stands before may be the client's.
fn words(text: &str, found: Option<&Value>) -> String {
    let Some((_, expected)) = text.rsplit_once(", expected ") else {
        return text.chars().take(200).collect();
    };
    let choice = expected.contains('`');
    format!("must be {}, is {}", expectation(expected), shown(found, choice))
}

fn expectation(expected: &str) -> String {
    let whole = |low: i128, high: i128| format!("a whole number from {low} to {high}");
    match expected {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" | "usize" => whole(0, u64::MAX.into()),
        "i32" => whole(i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => whole(i64::MIN.into(), i64::MAX.into()),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" => "a string".to_owned(),
        Reference::EXPECTED => Reference::EXPECTED.to_owned(),
        other if other.contains('`') => other.replace('`', "\""),
        other if other.starts_with("struct ") || other.ends_with("map") => "an object".to_owned(),
        _ => "of another type".to_owned(),
    }
}

/// What a client sent, in a word. Strings only where they are a choice among words: others may be secrets.
fn shown(value: Option<&Value>, choice: bool) -> String {
    match value {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Number(number)) => number.to_string().chars().take(32).collect(),
        Some(Value::String(text)) if choice => format!("{:?}", text.chars().take(32).collect::<String>()),
        Some(Value::String(_)) => "a string".to_owned(),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}
