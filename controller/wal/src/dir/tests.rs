use std::{fs, io::Write};

use super::*;
use crate::testing::scratch;

#[test]
fn only_one_may_have_it_and_the_other_learns_who() {
    let scratch = scratch();
    let path = scratch.path().join("new").join("log");
    let dir = LogDir::open(&path).unwrap();
    let error = LogDir::open(&path).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(dir);
    LogDir::open(&path).unwrap();
}

#[test]
fn a_published_file_is_complete_and_leftovers_go() {
    let scratch = scratch();
    let dir = LogDir::open(scratch.path()).unwrap();
    dir.publish("name", |mut file| file.write_all(b"content")).unwrap();
    assert_eq!(fs::read(scratch.path().join("name")).unwrap(), b"content");
    dir.publish("name", |_| Err(std::io::Error::other("disk full"))).unwrap_err();
    assert_eq!(fs::read(scratch.path().join("name")).unwrap(), b"content", "as before");
    assert!(scratch.path().join("name.tmp").exists());

    drop(dir);
    let dir = LogDir::open(scratch.path()).unwrap();
    let mut names = dir.names().unwrap();
    names.sort();
    assert_eq!(names, [LOCK, "name"]);
}
