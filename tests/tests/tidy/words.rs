//! Words that must not be in the tree, or not there. The forbidden ones are put together from parts here, so that this
//! file does not break its own rules.

use crate::rust;
use crate::tree::{File, Tree};
use crate::{Exceptions, Finding, stale};

/// Where packages and images come from by default. The tree names none: a site builds from its own mirror.
const REGISTRIES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("yarnpkg", ".com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("docker", ".io"),
    concat!("docker", ".com"),
    concat!("quay", ".io"),
    concat!("ghcr", ".io"),
    concat!("gcr", ".io"),
    concat!("registry.terraform", ".io"),
    concat!("hashicorp", ".com"),
    concat!("proxy.golang", ".org"),
    concat!("static.rust-lang", ".org"),
    concat!("debian", ".org/debian"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
];

/// The only source a crate in Cargo.lock may have, as cargo writes it; cargo replaces it by a mirror where one is set.
const CARGO_SOURCE: &str = concat!("\"registry+https://github.com/rust-lang/crates", ".io-index\"");

/// Files that tools fill with the addresses of where they looked.
const ADDRESS_KEEPERS: &[&str] =
    &["package-lock.json", ".npmrc", "pip.conf", "yarn.lock", "config.toml", "go.sum"];

const WHY_REGISTRIES: &str = "a site builds from its own mirror, and its name is nobody else's business";

pub(crate) fn registries(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let name = file.path.rsplit('/').next().unwrap_or("");
        if name == "Cargo.lock" {
            for (number, line) in file.text.lines().enumerate() {
                if line.strip_prefix("source = ").is_some_and(|source| source != CARGO_SOURCE) {
                    let at = format!("{}:{}", file.path, number + 1);
                    let next =
                        "take the crate from the default registry, through cargo's own source replacement";
                    findings.push(Finding::new(
                        at,
                        format!("another registry: {line}"),
                        WHY_REGISTRIES,
                        next,
                    ));
                }
            }
            continue;
        }
        let text = file.text.to_lowercase();
        for host in REGISTRIES {
            if let Some(at) = host_in(&text, host) {
                let next = "leave the address out; the tool's own configuration on the machine has it";
                findings.push(Finding::new(
                    line_in(file, &text, at),
                    format!("names {host}"),
                    WHY_REGISTRIES,
                    next,
                ));
            }
        }
        if ADDRESS_KEEPERS.contains(&name)
            && let Some(at) = text.find("://")
        {
            let next = "let the tool leave addresses out (npm: omit-lockfile-registry-resolved=true)";
            findings.push(Finding::new(line_in(file, &text, at), "keeps an address", WHY_REGISTRIES, next));
        }
    }
    findings
}

fn host_in(text: &str, host: &str) -> Option<usize> {
    let part_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    text.match_indices(host).map(|(at, _)| at).find(|at| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let after = text.as_bytes().get(at + host.len());
        !before.is_some_and(part_of_name) && !after.is_some_and(u8::is_ascii_alphanumeric)
    })
}

/// `path:line` of a byte in the file's text in lower case, which may have other lengths than the text itself.
fn line_in(file: &File, lower: &str, at: usize) -> String {
    format!("{}:{}", file.path, 1 + lower[..at].matches('\n').count())
}

/// Where people keep their checkouts.
const DEVELOPER_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Files that name such a path of another machine, and which.
const PATHS_ELSEWHERE: Exceptions = &[];

pub(crate) fn developer_paths(tree: &Tree) -> Vec<Finding> {
    check_paths(tree, PATHS_ELSEWHERE)
}

fn check_paths(tree: &Tree, exceptions: Exceptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut needed = Vec::new();
    for file in &tree.files {
        let found =
            DEVELOPER_PATHS.iter().find_map(|prefix| absolute(&file.text, prefix).map(|at| (prefix, at)));
        let Some((prefix, at)) = found else { continue };
        needed.push(file.path.as_str());
        if !exceptions.iter().any(|(path, _)| *path == file.path) {
            findings.push(Finding::new(
                file.line(at),
                format!("names an absolute path below {prefix}"),
                "it exists on one machine",
                "make it relative to the file or the repository; a path inside guests goes to PATHS_ELSEWHERE in \
                 tests/tests/tidy/words.rs",
            ));
        }
    }
    findings.extend(stale("PATHS_ELSEWHERE", exceptions, &needed));
    findings
}

/// Where an absolute path with this prefix stands: not `x/prefix`, not `$x/prefix`.
fn absolute(text: &str, prefix: &str) -> Option<usize> {
    let part_of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.}/)*".contains(&byte);
    let bytes = text.as_bytes();
    text.match_indices(prefix).map(|(at, _)| at).find(|at| {
        let inside = at.checked_sub(1).is_some_and(|before| part_of_path(bytes[before]));
        // file:///... is absolute.
        let url = text[..*at].ends_with("://");
        let named = bytes.get(at + prefix.len()).is_some_and(u8::is_ascii_alphanumeric);
        (!inside || url) && named
    })
}

/// Files whose tests nap where a nap that is too short cannot fail a program that is right: inside a loop that waits for
/// a condition until a deadline, to pace a load, or to give what must not happen time to happen.
const WAITING: Exceptions = &[
    ("agent/src/reconcile/tests.rs", "gives a second start of a guest, which must not come, time to come"),
    ("agent/src/vm/libvirt/tests.rs", "until libvirt's silence is an answer"),
    ("agent/tests/libvirt.rs", "`await_that`: until what is looked for is there"),
    ("controller/src/raft/tests/cluster.rs", "`eventually`: until a replica's status says so"),
    (
        "controller/src/store/embedded/tests/death.rs",
        "`eventually`; and kills a controller at various moments",
    ),
    ("controller/src/store/projection/tests.rs", "paces entries, so that connections break among them"),
    (
        "controller/src/store/projection/tests/queue.rs",
        "paces a consumer; lets a pusher come to wait before the end",
    ),
    ("tests/src/demo/processes.rs", "until the processes that were told to end have ended"),
    ("tests/src/wait.rs", "`until`: the one loop of the cross-crate tests"),
    ("tests/tests/bench/fleet/burst.rs", "until the hosts have all domains; who was told to come back does"),
    ("tests/tests/bench/fleet/idle.rs", "a while in which nothing happens is what is measured"),
    (
        "tests/tests/bench/fleet/one.rs",
        "paces looks, so that they do not take the machine from what is looked at",
    ),
    ("tests/tests/bench/fleet/plane.rs", "until all hosts are in touch; a while at rest is measured"),
    ("tests/tests/bench/fleet/restart.rs", "paces somebody who tries until a server answers"),
    ("tests/tests/bench/fleet/work.rs", "paces looks at what may not be followed by more"),
    ("tests/tests/capture.rs", "kills an agent at various moments of a copy"),
    (
        "tests/tests/fleet.rs",
        "`on_hosts`: until the hosts, which are not asked by HTTP, have what they should",
    ),
    ("tests/tests/flow.rs", "kills a controller at various moments"),
    ("tests/tests/guest.rs", "kills an agent at various moments"),
    ("tests/tests/host.rs", "stops and continues an agent at various moments"),
    (
        "tests/tests/power.rs",
        "`one_life`: until the moment at which an agent is killed, which `until` would miss",
    ),
];

pub(crate) fn naps(tree: &Tree) -> Vec<Finding> {
    check_naps(tree, WAITING)
}

fn check_naps(tree: &Tree, exceptions: Exceptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut needed = Vec::new();
    for file in &tree.files {
        let code = match (file.is_rust(), file.is_test()) {
            (true, true) => file.code.clone(),
            (true, false) => rust::only_tests(&file.code),
            (false, true) if !file.path.ends_with(".md") => file.text.clone(),
            (false, _) => continue,
        };
        let Some(at) = ["sleep", "sleep_until"].into_iter().find_map(|word| rust::words(&code, word).next())
        else {
            continue;
        };
        needed.push(file.path.as_str());
        if !exceptions.iter().any(|(path, _)| *path == file.path) {
            findings.push(Finding::new(
                file.line(at),
                "sleeps in a test",
                "the right time to wait is too short on a slow machine and too long on a fast one",
                "wait for the event itself (a channel, a watch, paused time), or poll it until a deadline. Where a nap \
                 that is too short cannot fail a right program, list the file in WAITING in tests/tests/tidy/words.rs",
            ));
        }
    }
    findings.extend(stale("WAITING", exceptions, &needed));
    findings
}

/// Programs that end whoever happens to have a name.
const KILLERS: &[&str] = &[concat!("pk", "ill"), concat!("kill", "all")];

pub(crate) fn killing_by_name(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with(".md")) {
        for killer in KILLERS {
            for at in rust::words(&file.text, killer) {
                let line_start = file.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let remark = file.text[line_start..at].trim_start();
                if remark.starts_with('#') || remark.starts_with("//") {
                    continue;
                }
                findings.push(Finding::new(
                    file.line(at),
                    format!("calls {killer}"),
                    "it also ends processes of the same name that are somebody else's",
                    "end the process you started, by its id, or the group you put it in",
                ));
            }
        }
    }
    findings
}

#[test]
fn a_registry_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(registries(&Tree::of(&[(path, text)])).len(), expected, "{path}: {text}");
    };
    check("docs/a.md", concat!("from https://Crates", ".IO/x"), 1);
    check("helm/values.yaml", concat!("image: docker", ".io/library/x"), 1);
    check("a.md", "our-registry, mycrates.iota, a crate's io", 0);
    check(
        "Cargo.lock",
        concat!("source = \"registry+https://github.com/rust-lang/crates", ".io-index\"\n"),
        0,
    );
    check("Cargo.lock", "source = \"sparse+https://mirror.example/index/\"\n", 1);
    check("Cargo.lock", "source = \"git+https://forge.example/x\"\n", 1);
    check("console/package-lock.json", "\"resolved\": \"https://mirror.example/x.tgz\"", 1);
    check("console/package-lock.json", "\"version\": \"1.0.0\"", 0);
}

#[test]
fn a_developers_path_is_found() {
    let check = |text: &str, exceptions, expected: usize| {
        assert_eq!(check_paths(&Tree::of(&[("scripts/a", text)]), exceptions).len(), expected, "{text}");
    };
    check(concat!("cd /wo", "rk/main"), &[], 1);
    check(concat!("\"/ho", "me/me/x\""), &[], 1);
    check(concat!("file:///Us", "ers/me"), &[], 1);
    check(concat!("$dir/wo", "rk/x ${dir}/wo", "rk/x a/wo", "rk/x ./ho", "me/x"), &[], 0);
    check(concat!("/ho", "me/debian/.ssh"), &[("scripts/a", "in the guest")], 0);
    check("", &[("scripts/a", "in the guest")], 1);
}

#[test]
fn a_nap_is_found() {
    let check = |path: &str, text: &str, exceptions, expected: usize| {
        assert_eq!(check_naps(&Tree::of(&[(path, text)]), exceptions).len(), expected, "{path}: {text}");
    };
    check("agent/src/a/tests.rs", "std::thread::sleep(x);", &[], 1);
    check("agent/src/a.rs", "std::thread::sleep(x);", &[], 0);
    check("agent/src/a.rs", "#[cfg(test)] mod tests { fn f() { tokio::time::sleep(x).await } }", &[], 1);
    check("tests/run-demo", "sleep 5", &[], 1);
    check("tests/src/cluster.rs", "Command::new(\"sleep\"); // sleep(5)", &[], 0);
    check("tests/src/cluster.rs", "sleep(x)", &[("tests/src/cluster.rs", "until a port answers")], 0);
    check("tests/src/cluster.rs", "", &[("tests/src/cluster.rs", "until a port answers")], 1);
}

#[test]
fn killing_by_name_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(killing_by_name(&Tree::of(&[(path, text)])).len(), expected, "{path}: {text}");
    };
    check("scripts/a", concat!("pk", "ill -f libvirtd"), 1);
    check("Makefile", concat!("\t-kill", "all qemu"), 1);
    check("tests/src/a.rs", concat!("Command::new(\"pk", "ill\")"), 1);
    check("scripts/a", concat!("# never pk", "ill\nkill \"$pid\""), 0);
    check("CONTRIBUTING.md", concat!("no pk", "ill"), 0);
}
