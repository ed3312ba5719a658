//! Manifests: one version of everything, one set of lints, and nobody outside.

use std::collections::BTreeMap;

use crate::Finding;
use crate::tree::{File, Tree};

const ROOT: &str = "Cargo.toml";

/// Manifests of crates.
pub(crate) fn members(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"))
}

/// A line `key = value` and the `[section]` it stands in.
struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    value: &'a str,
    line: usize,
}

/// The lines of a manifest. Values of more than one line are read as their first.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_start_matches('[').split(']').next().unwrap_or("");
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            entries.push(Entry { section, key: key.trim(), value: value.trim(), line: number + 1 });
        }
    }
    entries
}

pub(crate) fn package_name(file: &File) -> Option<String> {
    let entries = entries(&file.text);
    let name = entries.iter().find(|entry| entry.section == "package" && entry.key == "name")?;
    Some(name.value.trim_matches('"').to_owned())
}

/// A crate that a member depends on.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) at: String,
    workspace: bool,
}

/// What a member depends on, in any of its tables.
pub(crate) fn dependencies(file: &File) -> Vec<Dependency> {
    let mut found: BTreeMap<(&str, &str), Dependency> = BTreeMap::new();
    for entry in entries(&file.text) {
        let (name, from_workspace) = if entry.section.ends_with("dependencies") {
            let (name, property) = entry.key.split_once('.').unwrap_or((entry.key, ""));
            let inline = entry.value.replace(' ', "").contains("workspace=true");
            (name, inline || (property == "workspace" && entry.value == "true"))
        } else if let Some((_, name)) = entry.section.rsplit_once("dependencies.") {
            (name, entry.key == "workspace" && entry.value == "true")
        } else {
            continue;
        };
        let name = name.trim_matches('"');
        let at = format!("{}:{}", file.path, entry.line);
        let dependency = found.entry((entry.section, name)).or_insert(Dependency {
            name: name.to_owned(),
            at,
            workspace: false,
        });
        dependency.workspace |= from_workspace;
    }
    found.into_values().collect()
}

pub(crate) fn rule(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let listed = tree.files.iter().find(|file| file.path == ROOT).map(workspace_members).unwrap_or_default();
    for file in members(tree) {
        let directory = file.path.trim_end_matches("/Cargo.toml");
        if !listed.iter().any(|member| member == directory) {
            findings.push(Finding::new(
                &file.path,
                "is no member of the workspace",
                "nothing builds, tests or lints it",
                format!("add \"{directory}\" to members in {ROOT}"),
            ));
        }
        let lints = entries(&file.text);
        if !lints
            .iter()
            .any(|entry| entry.section == "lints" && entry.key == "workspace" && entry.value == "true")
        {
            findings.push(Finding::new(
                &file.path,
                "does not take the workspace's lints",
                "a crate without them is where unsafe, unwrap and println gather",
                "add the section [lints] with workspace = true",
            ));
        }
        for dependency in dependencies(file).into_iter().filter(|dependency| !dependency.workspace) {
            findings.push(Finding::new(
                dependency.at,
                format!("{} does not come from the workspace", dependency.name),
                "declared once, a dependency has one version, one set of features, and one place to be judged",
                format!("declare it under [workspace.dependencies] in {ROOT} and say {}.workspace = true", dependency.name),
            ));
        }
    }
    findings
}

/// The directories in `members`, on one line or on several.
fn workspace_members(root: &File) -> Vec<String> {
    let from = root.text.find("members").map_or("", |at| &root.text[at..]);
    let inside = from.split(']').next().unwrap_or("");
    inside.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn a_manifest_of_its_own_mind_is_found() {
    let check = |body: &str, expected: &[&str]| {
        let text = format!("[package]\nname = \"x\"\n{body}");
        let findings =
            rule(&Tree::of(&[(ROOT, "[workspace]\nmembers = [\n  \"x\",\n]\n"), ("x/Cargo.toml", &text)]));
        assert_eq!(findings.len(), expected.len(), "{body}: {findings:?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.what.contains(expected), "{finding}");
        }
    };
    check(
        "[lints]\nworkspace = true\n[dependencies]\na.workspace = true\nb = { workspace = true, optional = true }",
        &[],
    );
    check(
        "[lints]\nworkspace = true\n[dependencies.a]\nworkspace = true\nfeatures = []\n[features]\nf = []",
        &[],
    );
    check("[dependencies]\na.workspace = true", &["lints"]);
    check("[lints]\nworkspace = true\n[dev-dependencies]\na = \"1\"", &["a does not"]);
    check(
        "[lints]\nworkspace = true\n[target.'cfg(unix)'.build-dependencies]\na = { path = \"../a\" }",
        &["a does not"],
    );
    check("[lints]\nworkspace = true\n[dependencies.a]\nversion = \"1\"", &["a does not"]);
}

#[test]
fn a_crate_outside_the_workspace_is_found() {
    let tree =
        Tree::of(&[(ROOT, "[workspace]\nmembers = [\"x\"]"), ("y/Cargo.toml", "[lints]\nworkspace = true")]);
    assert!(rule(&tree)[0].what.contains("no member"));
}
