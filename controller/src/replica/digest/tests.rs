//! The digest of a State.

use super::*;

#[test]
fn it_depends_on_what_is_there_and_on_nothing_else() {
    let all = Digest::of(["a", "b", "c"]);
    assert_eq!(all, Digest::of(["c", "a", "b"]));
    assert_ne!(all, Digest::of(["a", "b"]));
    // Neither does what is there twice cancel out.
    assert_ne!(Digest::of(["a", "a"]), Digest::default());
    let mut changed = all;
    changed.remove("b");
    changed.add("d");
    assert_ne!(changed, all);
    changed.remove("d");
    changed.add("b");
    assert_eq!(changed, all);
}

#[test]
fn its_text_is_frozen() {
    assert_eq!(Digest::default().to_string(), "0".repeat(32));
    assert_eq!(Digest::of(["rempart"]).to_string(), "a28d5695f6ba4c791c6bc511c575903e");
}

#[test]
fn the_last_few_notes_are_kept() {
    let mut notes = Notes::default();
    for index in 0..40 {
        notes.note(Noted { index, digest: Digest(u128::from(index)) });
    }
    assert_eq!(notes.at(39), Some(Digest(39)));
    assert_eq!(notes.at(24), Some(Digest(24)));
    assert_eq!(notes.at(23), None);
    assert_eq!(notes.at(40), None);
}
