use serde_json::{Value, json};

use super::*;

#[test]
fn yaml_gives_back_what_it_was_given() {
    for text in [
        "#cloud-config\nmessage: bonjour\n",
        "no",
        "1e3",
        "0x1f",
        "null",
        "~",
        "",
        "2026-11-23T20:15:12.045Z",
        "a: b",
        "- x",
        " leading\n  and more\n\n\n",
        "trailing ",
        "tab\there",
        "quote\" and ' both",
        "\u{1b}[31m",
        "é\u{2028}x",
        "---\n...\n",
        "1_000",
        "12:30:45",
        "@x",
        "!tag",
        "&a *b",
    ] {
        let value = json!({ "spec": { "userData": text, text: [text, 1, 1.5, true, null, {}, []] } });
        let yaml = yaml_text(&value).unwrap();
        let back: Value = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        assert_eq!(back, value, "{yaml}");
    }
}
