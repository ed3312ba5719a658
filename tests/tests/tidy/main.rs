//! Style is a test: what the tree looks like, held still.
//!
//! A rule is a function from the [`tree::Tree`] to [`Finding`]s; each finding says what is wrong, why that matters and
//! what to do next. A rule lives in one file with bad samples beside it, so that it is known to fail.
//!
//! | file | rules |
//! |---|---|
//! | `arrows.rs` | who may import whom, between crates and inside the controller; who alone names a library |
//! | `purity.rs` | what the model must not name |
//! | `shape.rs` | sizes and names of files, module docs, `unsafe` |
//! | `words.rs` | registries, developers' paths, naps in tests, killing by name |
//! | `manifests.rs` | shared lints and dependencies, membership |
//! | `migrations.rs` | names and numbers of migrations |
//! | `proofs.rs` | tests that `docs/security.md` names |
//!
//! No dependencies beyond std: these tests run while everything else is broken.

mod arrows;
mod manifests;
mod migrations;
mod proofs;
mod purity;
mod rust;
mod shape;
mod tree;
mod words;

use std::sync::OnceLock;

use tree::Tree;

/// Something that is not as it should be.
#[derive(Debug)]
pub(crate) struct Finding {
    /// `path` or `path:line`.
    at: String,
    what: String,
    why: &'static str,
    next: String,
}

impl Finding {
    pub(crate) fn new(
        at: impl Into<String>,
        what: impl Into<String>,
        why: &'static str,
        next: impl Into<String>,
    ) -> Finding {
        Finding { at: at.into(), what: what.into(), why, next: next.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\n    why:  {}\n    next: {}", self.at, self.what, self.why, self.next)
    }
}

/// Files that a rule lets through, each with its reason.
pub(crate) type Exceptions = &'static [(&'static str, &'static str)];

/// Rows of `exceptions` that no longer let anything through: they must go, or the list stops meaning anything.
pub(crate) fn stale(list: &str, exceptions: Exceptions, needed: &[&str]) -> Vec<Finding> {
    exceptions
        .iter()
        .filter(|(path, _)| !needed.contains(path))
        .map(|(path, _)| {
            Finding::new(
                *path,
                format!("is listed in {list} without need"),
                "a row nobody needs lets the next offence through unseen",
                format!("remove its row from {list} in tests/tests/tidy"),
            )
        })
        .collect()
}

fn hold(rule: fn(&Tree) -> Vec<Finding>) {
    static CHECKOUT: OnceLock<Tree> = OnceLock::new();
    let findings: Vec<String> =
        rule(CHECKOUT.get_or_init(Tree::checkout)).iter().map(Finding::to_string).collect();
    if !findings.is_empty() {
        eprintln!("{}\n\nfindings: {}", findings.join("\n\n"), findings.len());
        // Fails the test without a backtrace: where the rule is called from tells nobody anything.
        std::panic::resume_unwind(Box::new("findings"));
    }
}

#[test]
fn crates_import_along_the_arrows() {
    hold(arrows::between_crates);
}

#[test]
fn the_controller_imports_along_the_arrows() {
    hold(arrows::inside_the_controller);
}

#[test]
fn libraries_stay_behind_their_adapters() {
    hold(arrows::behind_adapters);
}

#[test]
fn the_model_is_pure() {
    hold(purity::rule);
}

#[test]
fn files_are_short() {
    hold(shape::short_files);
}

#[test]
fn names_say_what_is_inside() {
    hold(shape::telling_names);
}

#[test]
fn modules_open_with_docs() {
    hold(shape::module_docs);
}

#[test]
fn unsafe_is_listed() {
    hold(shape::unsafe_code);
}

#[test]
fn no_registry_is_named() {
    hold(words::registries);
}

#[test]
fn no_path_of_a_developer_is_named() {
    hold(words::developer_paths);
}

#[test]
fn tests_wait_for_events_not_for_time() {
    hold(words::naps);
}

#[test]
fn nothing_kills_by_name() {
    hold(words::killing_by_name);
}

#[test]
fn manifests_share_lints_and_dependencies() {
    hold(manifests::rule);
}

#[test]
fn migrations_are_named_and_numbered() {
    hold(migrations::rule);
}

#[test]
fn promises_have_their_tests() {
    hold(proofs::rule);
}
