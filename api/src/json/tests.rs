//! What is read from outside.

use serde_json::json;

use super::*;

#[test]
fn it_reads_what_serde_json_reads() {
    for text in [
        "null",
        "true",
        "-1",
        "18446744073709551615",
        "1.5e300",
        "123456789012345678901234567890",
        r#""\u0000\ud83d\ude00""#,
        "[]",
        r#"{"a": {"b": [1, "x", null, {}]}, "a": 2, "": false}"#,
        " {} ",
    ] {
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
    for text in ["", "{", "[1,]", "{} {}", "nul", "\"\u{1}\"", "1e999", "{1:2}", "[\"\\ud800\"]"] {
        assert_eq!(read(text.as_bytes()).is_err(), serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
    assert!(read(b"\"\xff\"").is_err());
}

#[test]
fn depth_is_bounded_wherever_it_hides() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(deep(127).as_bytes()).is_ok());
    assert!(read(deep(128).as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    // A text that is parsed again, in one that is parsed again, and so on.
    let mut text = "1".to_owned();
    for _ in 0..12 {
        let inner = Value::String(text).to_string();
        let object = format!("{{\"$serde_json::private::RawValue\":{inner}}}");
        text = format!("{}{object}{}", "[".repeat(120), "]".repeat(120));
    }
    assert!(read(text.as_bytes()).unwrap_err().to_string().contains("are not taken"));
    // The same key, written otherwise.
    let escaped = r#"{"labels": {"\u0024serde_json::private::RawValue": "1"}}"#;
    assert!(read(escaped.as_bytes()).unwrap_err().to_string().contains("are not taken"));
    assert_eq!(read(br#"{"$serde_json": 1}"#).unwrap(), json!({"$serde_json": 1}));
}
