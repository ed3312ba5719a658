//! Reading /etc/passwd, and finding the closed door.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::{Account, in_the_way};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                      toor:x:0:0:root again:/root:/bin/sh\n\
                      broken:x:many\n\
                      postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

fn check(user: &str, expected: &str) {
    let found = match Account::among(PASSWD, user) {
        Ok(account) => format!("{account:?}"),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(expected), "{user}: {found}");
}

#[test]
fn accounts() {
    check("postgres", "Other { name: \"postgres\", uid: 101, gid: 104 }");
    check("post", "the account post for it does not exist");
    check("toor", "is root itself");
    check("broken", "has no numeric ids");
    check("", "does not exist");
}

#[test]
fn the_outermost_closed_door_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    let (stranger, open, closed) = (54_321, Permissions::from_mode(0o711), Permissions::from_mode(0o700));
    fs::set_permissions(outer.path(), open.clone()).unwrap();
    fs::set_permissions(outer.path().join("a"), closed.clone()).unwrap();
    fs::set_permissions(&inner, closed).unwrap();
    assert_eq!(in_the_way(&inner, stranger, stranger), outer.path().join("a"));
    fs::set_permissions(outer.path().join("a"), open.clone()).unwrap();
    fs::set_permissions(&inner, open).unwrap();
    assert_eq!(in_the_way(&inner, stranger, stranger), inner);
}
