//! What `docs/security.md` promises is proven by a test that exists: each row of its tables names one.

use crate::Finding;
use crate::tree::Tree;

const PAGE: &str = "docs/security.md";
const WHY: &str =
    "a guard that nobody tests is a hope, and a page that names a test that is gone says more than is true";

pub(crate) fn rule(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.files.iter().find(|file| file.path == PAGE) else {
        let next = "write it, or remove tests/tests/tidy/proofs.rs";
        return vec![Finding::new(PAGE, "is not there", WHY, next)];
    };
    let mut findings = Vec::new();
    let mut in_table = false;
    for (number, line) in (1..).zip(page.text.lines()) {
        let at = format!("{PAGE}:{number}");
        if line.starts_with("| input ") {
            in_table = true;
            continue;
        }
        in_table &= line.starts_with('|');
        let cited: Vec<(&str, &str)> = line.split('`').filter_map(|part| part.split_once(".rs::")).collect();
        if in_table && cited.is_empty() && !line.starts_with("|---") {
            let next = "name the test as `path/file.rs::name`, or move the row to what is not handled yet";
            findings.push(Finding::new(&at, "names no test", WHY, next));
        }
        for (path, name) in cited {
            let path = format!("{path}.rs");
            let found =
                tree.files.iter().any(|file| file.path == path && file.code.contains(&format!("fn {name}(")));
            if !found {
                let next = "name the test that proves it now; if there is none, say that it is not handled";
                findings.push(Finding::new(
                    &at,
                    format!("names {path}::{name}, which is not there"),
                    WHY,
                    next,
                ));
            }
        }
    }
    findings
}

#[test]
fn a_promise_without_a_test_is_found() {
    let check = |row: &str, expected: usize| {
        let page = format!(
            "| who | x |\n|---|---|\n| a | b |\n\n| input | gets | test |\n|---|---|---|\n{row}\n\nAnd so on.\n"
        );
        let code = "#[test]\nfn it_is_refused() {}\n// fn in_words() {}\n";
        assert_eq!(rule(&Tree::of(&[(PAGE, &page), ("a/b.rs", code)])).len(), expected, "{row}");
    };
    check("| x | refused | `a/b.rs::it_is_refused` |", 0);
    check("| x | refused | `a/b.rs::it_is_refused`, `a/b.rs::gone` |", 1);
    check("| x | refused | `a/b.rs::it_is` |", 1);
    check("| x | refused | `a/b.rs::in_words` |", 1);
    check("| x | refused | `a/c.rs::it_is_refused` |", 1);
    check("| x | refused | surely |", 1);
    assert_eq!(rule(&Tree::of(&[])).len(), 1);
}
