//! Migrations are `NNNN_verb_noun.sql`, numbered from 0001 without gaps. That a released one is never edited is for
//! reviewers to see: the name alone cannot tell.

use crate::Finding;
use crate::tree::Tree;

const DIRECTORY: &str = "migrations/";

const WHY: &str = "migrations run once, in order, on databases we cannot see; two of one number, or a gap, is an order \
                   that differs between them";

pub(crate) fn rule(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last = 0;
    // Files come sorted by name.
    for file in tree.below(DIRECTORY) {
        let name = file.path.trim_start_matches(DIRECTORY);
        if name == "README.md" {
            continue;
        }
        let Some(number) = number(name) else {
            let next = "call it NNNN_verb_noun.sql in lower case, as 0001_create_store.sql";
            findings.push(Finding::new(&file.path, "is no name of a migration", WHY, next));
            continue;
        };
        if number != last + 1 {
            let what = format!("has number {number:04} after {last:04}");
            findings.push(Finding::new(&file.path, what, WHY, format!("number it {:04}", last + 1)));
        }
        last = number;
    }
    findings
}

fn number(name: &str) -> Option<u32> {
    let (number, words) = name.strip_suffix(".sql")?.split_once('_')?;
    let lower = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let named = words.split('_').count() >= 2 && words.split('_').all(lower);
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    if named && digits { number.parse().ok() } else { None }
}

#[test]
fn a_wrong_migration_is_found() {
    let check = |names: &[&str], expected: usize| {
        let paths: Vec<String> = names.iter().map(|name| format!("{DIRECTORY}{name}")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        assert_eq!(rule(&Tree::of(&files)).len(), expected, "{names:?}");
    };
    check(&["0001_create_store.sql", "0002_add_usage_table.sql", "README.md"], 0);
    check(&["0002_create_store.sql"], 1);
    check(&["0001_create_store.sql", "0003_add_usage.sql"], 1);
    check(&["0001_create_store.sql", "0001_drop_store.sql"], 1);
    check(&["1_create_store.sql"], 1);
    check(&["0001_create.sql"], 1);
    check(&["0001_Create_store.sql"], 1);
    check(&["0001_create_store.down.sql"], 1);
    check(&["notes.txt"], 1);
}
