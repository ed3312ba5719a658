//! Who may import whom. An arrow that points the wrong way is how a tree becomes a ball.

use std::collections::BTreeSet;

use crate::Finding;
use crate::manifests;
use crate::rust::{self, Path};
use crate::tree::{File, Tree};

/// Our crates, and which of ours each may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("rempart-api", &[]),
    ("rempart-proto", &[]),
    ("rempart-daemon", &[]),
    ("rempart-identity", &["rempart-proto"]),
    ("rempart-image-format", &[]),
    ("rempart-wal", &[]),
    // Ours under another's name: `controller/no-histograms`.
    ("base2histogram", &[]),
    ("rempart-model", &["rempart-api"]),
    (
        "rempart-controller",
        &[
            "rempart-api",
            "rempart-daemon",
            "rempart-identity",
            "rempart-image-format",
            "rempart-model",
            "rempart-proto",
            "rempart-wal",
        ],
    ),
    ("rempart-agent", &["rempart-daemon", "rempart-identity", "rempart-image-format", "rempart-proto"]),
    ("rempart-cli", &["rempart-api"]),
    ("rempart-terraform", &["rempart-api"]),
    // Tests drive the others as programs, from outside; and compare what they answer with what the model says. A fleet of
    // simulated hosts in one process is made of the agent itself.
    (
        "rempart-tests",
        &[
            "rempart-agent",
            "rempart-api",
            "rempart-daemon",
            "rempart-identity",
            "rempart-model",
            "rempart-proto",
        ],
    ),
];

const WHY_CRATES: &str = "each crate can be understood, built and tested without what it must not know";

pub(crate) fn between_crates(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests::members(tree) {
        let Some(name) = manifests::package_name(file) else { continue };
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
            let next = "add a row with what it may depend on to CRATES in tests/tests/tidy/arrows.rs";
            findings.push(Finding::new(&file.path, format!("crate {name} has no arrows"), WHY_CRATES, next));
            continue;
        };
        for dependency in manifests::dependencies(file) {
            if dependency.name.starts_with("rempart") && !allowed.contains(&dependency.name.as_str()) {
                let what = format!("{name} depends on {}; it may on: {}", dependency.name, list(allowed));
                let next = "move what both need to where both may look (types: api, messages: proto)";
                findings.push(Finding::new(&dependency.at, what, WHY_CRATES, next));
            }
        }
    }
    findings
}

const CONTROLLER: &str = "controller/src/";

/// Modules of the controller, and which of its modules each may name.
const MODULES: &[(&str, &[&str])] = &[
    ("http", &["service", "blob", "auth", "console", "backup"]),
    ("backup", &["service", "blob", "pki", "store", "raft", "replica"]),
    ("console", &["service", "fleet", "pki", "raft", "replica", "auth"]),
    ("service", &["raft", "replica", "auth", "pki"]),
    ("blob", &["pki", "service", "raft", "replica", "auth"]),
    ("raft", &["store"]),
    ("store", &[]),
    ("fleet", &["raft", "replica", "auth", "pki"]),
    ("reconcile", &["raft", "fleet", "replica"]),
    ("history", &["pki", "store"]),
    ("pki", &["auth", "raft", "replica"]),
    ("replica", &["raft", "store"]),
    ("telemetry", &["raft", "replica", "store", "fleet"]),
    ("auth", &[]),
];

/// Where the modules are put together: these name any module, and no module names them.
const WIRING: &[&str] = &["lib", "main", "bin", "config", "run", "simulation"];

const WHY_MODULES: &str = "calls go one way (http -> service -> raft -> store; reconcile -> raft, fleet), so that each \
                           layer can change, and be tested, without those above it";

pub(crate) fn inside_the_controller(tree: &Tree) -> Vec<Finding> {
    let files: Vec<&File> = tree.below(CONTROLLER).filter(|file| file.is_rust()).collect();
    let modules: BTreeSet<String> = files.iter().filter_map(|file| module(file).into_iter().next()).collect();
    let mut findings = Vec::new();
    for file in files {
        let here = module(file);
        let top = here.first().map_or("lib", String::as_str);
        if WIRING.contains(&top) {
            continue;
        }
        let Some((_, allowed)) = MODULES.iter().find(|(known, _)| *known == top) else {
            let next = "add a row with what it may name to MODULES in tests/tests/tidy/arrows.rs";
            findings.push(Finding::new(&file.path, format!("module {top} has no arrows"), WHY_MODULES, next));
            continue;
        };
        for path in rust::paths(&file.code) {
            let Some(named) = top_level(&path, &here).filter(|named| modules.contains(*named)) else {
                continue;
            };
            if named != top && !allowed.contains(&named) {
                let what = format!(
                    "{top} names {named} ({}); it may name: {}",
                    path.segments.join("::"),
                    list(allowed)
                );
                let next = format!("let {top} be handed what it needs, or move that to where {top} may look");
                findings.push(Finding::new(file.line(path.at), what, WHY_MODULES, next));
            }
        }
    }
    findings
}

/// The module a file of the controller is: `raft/log_store/tests.rs` is `[raft, log_store, tests]`.
fn module(file: &File) -> Vec<String> {
    let path = file.path.trim_start_matches(CONTROLLER).trim_end_matches(".rs");
    path.split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
}

/// The first segment after the crate's root that a path leads to, if it leads there. (A `super` in an inline module
/// counts one too many here: its names are then no modules, and are passed over.)
fn top_level<'a>(path: &'a Path, here: &[String]) -> Option<&'a str> {
    let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
    let at = match path.first() {
        "crate" => 1,
        "super" if supers == here.len() => supers,
        _ => return None,
    };
    path.segments.get(at).map(String::as_str)
}

/// A library, the only place that may name it, and the manifest that may have it.
const ADAPTERS: &[(&str, &str, &str)] = &[
    ("openraft", "controller/src/raft/", "controller/Cargo.toml"),
    ("sqlx", "controller/src/store/", "controller/Cargo.toml"),
    ("virt", "agent/src/vm/libvirt", "agent/Cargo.toml"),
    ("virt_sys", "agent/src/vm/libvirt", "agent/Cargo.toml"),
];

const WHY_ADAPTERS: &str =
    "behind one adapter a library can be upgraded or replaced by changing one directory";

pub(crate) fn behind_adapters(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (library, home, manifest) in ADAPTERS {
        for file in tree.rust().filter(|file| !file.path.starts_with(home)) {
            let named = |path: &Path| path.first() == *library && (path.imported || path.segments.len() > 1);
            if let Some(path) = rust::paths(&file.code).into_iter().find(named) {
                let next = format!("say what you need in our own words in {home} and call that");
                findings.push(Finding::new(
                    file.line(path.at),
                    format!("{library} is named outside {home}"),
                    WHY_ADAPTERS,
                    next,
                ));
            }
        }
        for file in manifests::members(tree).filter(|file| file.path != *manifest) {
            for dependency in manifests::dependencies(file) {
                if dependency.name.replace('-', "_") == *library {
                    let what = format!("{library} belongs to {manifest} alone");
                    findings.push(Finding::new(&dependency.at, what, WHY_ADAPTERS, "remove the dependency"));
                }
            }
        }
    }
    findings
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "nothing of ours".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> usize {
    // The modules that names are looked up among.
    let around = [
        "http/mod.rs",
        "service/mod.rs",
        "raft/mod.rs",
        "store/mod.rs",
        "fleet/mod.rs",
        "replica.rs",
        "run.rs",
    ];
    let around: Vec<String> = around.iter().map(|name| format!("{CONTROLLER}{name}")).collect();
    let mut files: Vec<(&str, &str)> = around.iter().map(|path| (path.as_str(), "")).collect();
    files.push((path, text));
    rule(&Tree::of(&files)).len()
}

#[test]
fn a_wrong_crate_is_found() {
    let check = |name: &str, section: &str, dependency: &str, expected: usize| {
        let text = format!("[package]\nname = \"{name}\"\n[{section}]\n{dependency}\n");
        assert_eq!(found(between_crates, "x/Cargo.toml", &text), expected, "{text}");
    };
    check("rempart-model", "dependencies", "rempart-api.workspace = true", 0);
    check("rempart-model", "dependencies", "rempart-proto.workspace = true", 1);
    check("rempart-agent", "dev-dependencies", "rempart-api = { workspace = true }", 1);
    check("rempart-api", "target.'cfg(unix)'.dependencies", "rempart-wal.workspace = true", 1);
    check("rempart-api", "dependencies.rempart-wal", "workspace = true", 1);
    check("rempart-novelty", "dependencies", "", 1);
}

#[test]
fn a_wrong_module_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(
            found(inside_the_controller, &format!("{CONTROLLER}{path}"), text),
            expected,
            "{path}: {text}"
        );
    };
    check("http/body.rs", "use crate::service::Body; // crate::store", 0);
    check("http/body.rs", "use crate::raft::Node;", 1);
    check("service/call.rs", "use crate::{raft::Node, fleet::{Fleet, Other}};", 2);
    check("service/call.rs", "fn f() { crate::fleet::go() }", 1);
    check("service/call.rs", "use super::super::http;", 1);
    check("service/call.rs", "use super::raft;", 0);
    check("raft/node/tests.rs", "use crate::reconcile; use crate::service as s;", 1);
    check("store/load.rs", "use crate::raft::Position;", 1);
    check("fleet/wire.rs", "pub(in crate::fleet) fn f() { crate::run::stop() }", 1);
    check("run.rs", "use crate::{http, store};", 0);
    check("novelty.rs", "", 1);
}

#[test]
fn a_library_out_of_its_adapter_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(found(behind_adapters, path, text), expected, "{path}: {text}");
    };
    check("controller/src/raft/node.rs", "use openraft::Raft;", 0);
    check("controller/src/run.rs", "use openraft::Raft;", 1);
    check("controller/src/run.rs", "use openraft;", 1);
    check("controller/src/run.rs", "// openraft::Raft\nlet sqlx = \"sqlx::query\"; self.virt.a();", 0);
    check("agent/src/execute.rs", "let c = virt::connect::Connect::open(x);", 1);
    check("agent/src/vm/libvirt/mod.rs", "use virt::domain::Domain; use virt_sys as sys;", 0);
    check("agent/Cargo.toml", "[dependencies]\nsqlx.workspace = true\n", 1);
    check("tests/Cargo.toml", "[dependencies]\nvirt-sys.workspace = true\n", 1);
}
