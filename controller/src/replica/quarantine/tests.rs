//! The mark of a replica that is wrong.

use super::*;

#[test]
fn it_outlives_the_process_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = Quarantine::of(dir.path());
    assert_eq!(quarantine.check(), Ok(()));
    assert_eq!(quarantine.enter("it differs".to_owned()).to_string(), "it differs");
    let why = Quarantine::of(dir.path()).check().unwrap_err();
    assert!(why.contains("it differs") && why.contains("cluster replace"), "{why}");
}

#[test]
fn it_stops_even_where_the_mark_cannot_be_written() {
    let gone = Quarantine::of(Path::new("/nowhere/at/all"));
    let error = gone.enter("it differs".to_owned()).to_string();
    assert!(error.starts_with("it differs (/nowhere/at/all/QUARANTINED: "), "{error}");
}
