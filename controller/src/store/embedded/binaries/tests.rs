//! Which of the installed versions is taken.

use std::path::Path;

use super::{Binaries, choose, major};

#[test]
fn versions_as_postgres_prints_them() {
    for (printed, expected) in [
        ("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n", Some(15)),
        ("postgres (PostgreSQL) 18rc1\n", Some(18)),
        ("postgres (PostgreSQL) 9.6.24", Some(9)),
        ("postgres: command not found", None),
        ("", None),
    ] {
        assert_eq!(major(printed), expected, "{printed}");
    }
}

#[test]
fn of_equals_the_first() {
    let installed = ["/package", "/links"].map(|dir| Binaries { major: 15, dir: dir.into() });
    let chosen = choose(installed.to_vec(), None, Path::new("/data")).unwrap();
    assert_eq!(chosen.postgres(), Path::new("/package/postgres"));
}

fn check(installed: &[u32], data_major: Option<u32>, expected: &str) {
    let installed = installed.iter().map(|major| Binaries { major: *major, dir: "/x".into() }).collect();
    let found = match choose(installed, data_major, Path::new("/data")) {
        Ok(binaries) => binaries.major.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(expected), "{found}");
}

#[test]
fn the_newest_for_new_data_and_the_same_for_old() {
    check(&[15, 17, 16], None, "17");
    check(&[15, 17, 16], Some(15), "15");
    check(
        &[16, 17],
        Some(15),
        "made by Postgres 15, and installed is only 16, 17: install the package `postgresql-15`",
    );
    check(&[], Some(15), "no Postgres server of version 14 or later");
    check(&[13], None, "no Postgres server of version 14 or later");
}
