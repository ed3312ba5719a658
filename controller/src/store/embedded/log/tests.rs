//! The log's bounds.

use std::io::Cursor;

use super::{Log, TAIL_LINES};

#[test]
fn only_the_last_lines_are_kept() {
    let text = (0..1000).map(|n| format!("LOG:  line {n}\n")).collect::<String>();
    let tail = Log::read(Cursor::new(text)).unwrap().tail();
    assert_eq!(tail.lines().count(), TAIL_LINES);
    assert!(tail.ends_with("LOG:  line 999"), "{tail}");
}

#[test]
fn a_line_without_an_end_is_cut() {
    let tail = Log::read(Cursor::new(vec![b'x'; 10 << 20])).unwrap().tail();
    assert!(tail.len() < 200_000, "{}", tail.len());
}

#[test]
fn silence_and_bad_text_are_shown() {
    assert_eq!(Log::read(Cursor::new("")).unwrap().tail(), "(it wrote nothing)");
    assert_eq!(Log::read(Cursor::new(b"\xff\n")).unwrap().tail(), "\u{fffd}");
}
