//! `rempart` as a person and a script use it, against a real controller.

mod https;
mod mistakes;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, Lab, PATIENCE, binary};
use serde_json::{Value, json};

/// Exit codes that docs/cli.md promises.
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const REFUSED: i32 = 4;
const UNREACHABLE: i32 = 5;

/// Somebody at a command line, with a home of his own.
struct Person {
    home: PathBuf,
}

/// What a command did.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Person {
    fn at(home: &Path) -> Person {
        std::fs::create_dir(home).expect("a home");
        Person { home: home.to_owned() }
    }

    fn config(&self) -> PathBuf {
        self.home.join(".config/rempart/config.toml")
    }

    fn does(&self, line: &str) -> Said {
        self.pipes("", line)
    }

    /// Runs `rempart` with the words of `line`, and `input` on its standard input.
    fn pipes(&self, input: &str, line: &str) -> Said {
        self.with(&[], input, line)
    }

    fn with(&self, env: &[(&str, &str)], input: &str, line: &str) -> Said {
        let mut command = Command::new(binary("rempart").expect("it is built"));
        command.args(line.split_whitespace()).current_dir(&self.home);
        command.env_clear().env("HOME", &self.home).envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        // Who does not read his input closes the pipe, which is no failure of the test's.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let said = Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!said.err.contains("panicked"), "{line}: {said:?}");
        said
    }

    fn good(&self, line: &str) -> String {
        let said = self.does(line);
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
        said.out
    }

    fn fails(&self, code: i32, line: &str, words: &[&str]) {
        check_failure(&self.does(line), code, line, words);
    }
}

/// One paragraph at the end of standard error, nothing on standard output, and the promised code.
fn check_failure(said: &Said, code: i32, line: &str, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{line}: {said:?}");
    assert_eq!(said.out, "", "{line}");
    let (last, clap) = (said.err.lines().last().unwrap_or_default(), said.err.starts_with("error: "));
    assert!(last.starts_with("error: ") || clap, "{line}: {}", said.err);
    for word in words {
        assert!(said.err.contains(word), "{line}: {word:?} is missing in: {}", said.err);
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

struct Stage {
    dir: tempfile::TempDir,
    cluster: Cluster,
}

impl Stage {
    /// One controller, and tenant acme, which is alice's.
    async fn open() -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
        let operator = cluster.client(1, "operator").expect("a client");
        let tenant = json!({ "spec": { "owners": ["alice"] } });
        operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
        Stage { dir, cluster }
    }

    fn token(&self, subject: &str) -> String {
        self.cluster.layout.token(subject).expect("a token")
    }

    /// With a context of the same name.
    fn person(&self, name: &str) -> Person {
        let person = Person::at(&self.dir.path().join(name));
        let line = format!(
            "context add {name} --server {} -t acme -w demo --token-file -",
            self.cluster.layout.url(1)
        );
        let said = person.pipes(&self.token(name), &line);
        assert_eq!(said.code, Some(0), "{said:?}");
        person
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_what_it_says() {
    let stage = Stage::open().await;
    let alice = stage.person("alice");
    contexts(&stage, &alice);
    resources(&alice);
    versions(&alice);
    uploads(&alice);
    failures(&stage, &alice);
    operators(&stage);
}

fn contexts(stage: &Stage, alice: &Person) {
    let url = stage.cluster.layout.url(1);
    let token = stage.token("alice");
    assert_eq!(mode(&alice.config()), 0o600);
    assert_eq!(mode(alice.config().parent().expect("a directory")), 0o700);
    for line in ["context list", "context show", "context list -o json", "context show -o yaml"] {
        let said = alice.does(line);
        assert!(said.out.contains("alice") && said.out.contains(&url), "{said:?}");
        assert!(!said.out.contains(&token) && !said.err.contains(&token), "{line} shows the token");
    }
    // The token is tried before it is kept.
    let line = format!("context add bad --server {url} --token-file -");
    check_failure(&alice.pipes("not-a-token", &line), REFUSED, &line, &["not a valid JWT", "--no-check"]);
    assert!(!std::fs::read_to_string(alice.config()).expect("it").contains("bad"));
    alice.fails(USAGE, &format!("context add alice --server {url} --token-file -"), &["--replace"]);
    alice.fails(USAGE, &format!("context add b --server {url}"), &["--token-file"]);

    // A token file that others may read is as bad as a config that they may.
    let file = alice.home.join("token");
    std::fs::write(&file, &token).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
    let line = format!("context add f --server {url} --token-file token --no-use -t acme");
    alice.fails(USAGE, &line, &["chmod 600"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
    alice.good(&line);
    assert!(alice.good("--context f list skus").contains("seca.d2xs"));
    assert!(alice.good("context list").contains("*        alice"));
    alice.good("context use f");
    alice.fails(USAGE, "context remove f", &["--yes", "context f"]);
    alice.good("context remove f --yes");
    alice.fails(USAGE, "list skus", &["context add"]);
    alice.fails(NOT_FOUND, "context use f", &["alice"]);
    alice.good("context use alice");

    std::fs::set_permissions(alice.config(), std::fs::Permissions::from_mode(0o640)).expect("set");
    alice.fails(USAGE, "list skus", &["0640", "chmod 600"]);
    std::fs::set_permissions(alice.config(), std::fs::Permissions::from_mode(0o600)).expect("set");

    // The environment alone will do, and its server gets no token of a context.
    let own = [("REMPART_SERVER", url.as_str()), ("REMPART_TOKEN", &token), ("REMPART_TENANT", "acme")];
    let said = alice.with(&own, "", "list skus");
    assert!(said.code == Some(0) && said.out.contains("seca.d2xs"), "{said:?}");
    let said = alice.with(&own[..1], "", "list skus -t acme");
    check_failure(&said, USAGE, "without a token", &["no token"]);
}

fn resources(alice: &Person) {
    alice.fails(NOT_FOUND, "list volumes", &["acme/workspaces/demo", "list workspaces"]);
    let said = alice.pipes("metadata: {kind: workspace, name: demo}\n", "apply -f -");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "workspace \"demo\" in acme created, active\n"),
        "{said:?}"
    );
    let said = alice.does("list volumes");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.err.contains("There are no volumes"), "{said:?}");
    assert_eq!(alice.good("list volumes -o json"), "[]\n");

    std::fs::write(
        alice.home.join("all.yaml"),
        "
metadata: {kind: volume, name: data}
labels: {tier: db}
spec: {sizeGB: 1, skuRef: skus/le500}
---
metadata: {kind: VM, name: web}
spec:
  skuRef: skus/d2xs
  zone: b
  bootVolume: {deviceRef: block-storages/data}
  userData: |
    #cloud-config
    on: no
---
metadata: {kind: network, name: n}
spec: {cidr: {ipv4: 10.0.0.0/16}, skuRef: skus/n1k}
---
metadata: {kind: route-table, name: rt, network: n}
spec: {routes: [{destinationCidrBlock: 10.0.0.0/16, targetRef: 10.0.0.1}]}
",
    )
    .expect("written");
    // Whatever the route table says to that: what stands before it is written.
    let said = alice.does("apply -f all.yaml");
    assert!(said.out.contains("volume \"data\" in acme/demo created, active"), "{said:?}");
    assert!(said.out.contains("instance \"web\" in acme/demo created, pending"), "{said:?}");

    let table = alice.good("list vms");
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next(), Some(vec!["NAME", "STATE", "POWER", "SKU", "ZONE", "AGE"]));
    assert_eq!(lines.next().map(|line| line[..5].to_vec()), Some(vec!["web", "pending", "off", "d2xs", "b"]));
    assert!(!table.contains('\u{1b}'), "no colours where nobody sees them");
    let web: Value = serde_json::from_str(&alice.good("get vm web -o json")).expect("pure JSON");
    assert_eq!(web["spec"]["userData"], "#cloud-config\non: no\n");
    assert!(alice.good("get instance web").contains("No machine has joined this region yet"));
    assert!(alice.good("explain vm web").contains("is pending, power off"));
    assert!(alice.good("list vol").contains("1 GB"));
    alice.fails(USAGE, "remove web", &["instance \"web\"", "volume \"data\"", "--yes"]);
}

/// What is read goes back, once, at the version it was read at.
fn versions(alice: &Person) {
    let read = alice.good("get volume data -o yaml");
    assert!(read.contains("resourceVersion: 1"), "{read}");
    let larger = read.replace("sizeGB: 1", "sizeGB: 2");
    assert_ne!(larger, read);
    let said = alice.pipes(&larger, "apply -f - -o json");
    let views: Value = serde_json::from_str(&said.out).expect("pure JSON");
    assert_eq!(views[0]["spec"]["sizeGB"], 2);
    assert!(said.err.contains("replaced"), "{said:?}");
    check_failure(&alice.pipes(&larger, "apply -f -"), REFUSED, "a stale version", &["changed it since"]);
    let again = alice.pipes(&alice.good("list volumes -o yaml"), "apply -f -");
    assert_eq!(again.code, Some(0), "{again:?}");

    alice.fails(USAGE, "delete volume data", &["volume \"data\" in acme/demo", "no terminal", "--yes"]);
    alice.good("get volume data");
    alice.fails(REFUSED, "delete volume data --yes", &["volume \"data\"", "is used by"]);
    alice.good("delete vm web --yes");
    let said = alice.does("delete volume data --yes");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.err.contains("is gone"), "{said:?}");
    alice.fails(NOT_FOUND, "get volume data", &["volume \"data\"", "list volumes"]);
    alice.fails(NOT_FOUND, "delete volume data --yes", &[]);
}

/// From a file to an image, and again.
fn uploads(alice: &Person) {
    let disk: Vec<u8> = (0..3_u32 << 20).map(|at| (at % 251).to_le_bytes()[0]).collect();
    for (name, bytes) in [("disk.raw", &disk[..]), ("disk.img", &disk[..]), ("other.raw", &disk[..1 << 20])] {
        std::fs::write(alice.home.join(name), bytes).expect("written");
    }
    alice.fails(USAGE, "image upload disk.img --name disk", &["--format"]);
    alice.fails(USAGE, "image upload disk.img --name disk --format qcow2", &["qcow2"]);
    let said = alice.does("image upload disk.raw --name disk --boot bios --initializer none -o json");
    assert_eq!(said.code, Some(0), "{said:?}");
    let image: Value = serde_json::from_str(&said.out).expect("pure JSON");
    assert_eq!(image["status"]["state"], "active");
    assert_eq!(image["status"]["sizeMB"], 3);
    assert_eq!(image["spec"]["boot"], "BIOS");
    assert!(said.err.contains("Format raw, as its name says"), "{said:?}");
    alice.fails(NOT_FOUND, "get volume disk-upload", &[]);
    // The same bytes again are there already; others are not taken for them.
    let again = alice.does("image upload disk.img --name disk --format raw");
    assert!(again.code == Some(0) && again.err.contains("there already"), "{again:?}");
    let said = alice.does("image upload other.raw --name disk");
    assert!(said.code == Some(REFUSED) && said.err.contains("not made of this file"), "{said:?}");
    // Interrupted before the bytes were sent: the volume waits for them.
    let waiting = "metadata: {kind: volume, name: late-upload}\nspec: {sizeGB: 1, skuRef: skus/le500}\n";
    assert_eq!(alice.pipes(waiting, "apply -f -").code, Some(0));
    alice.good("image upload other.raw --name late --keep-volume");
    assert!(alice.good("get image late").contains("active"));
    let gone = alice.good("delete volume late-upload --yes -o json");
    let gone: Value = serde_json::from_str(&gone).expect("pure JSON");
    let late = "seca.storage/v1/tenants/acme/workspaces/demo/block-storages/late-upload";
    assert_eq!(gone, json!([{ "ref": late, "gone": true }]));
    // What the same command had asked for before it failed is told.
    alice.fails(
        NOT_FOUND,
        "delete image late nope disk --yes",
        &["image \"nope\"", "image \"late\" in acme"],
    );
    alice.good("delete image disk --yes");
}

fn failures(stage: &Stage, alice: &Person) {
    alice.fails(USAGE, "list instanec", &["'instance'"]);
    alice.fails(USAGE, "get vm ../../x", &["it is no path"]);
    alice.fails(USAGE, "get subnet s", &["--network"]);
    alice.fails(USAGE, "apply -f missing.yaml", &["missing.yaml"]);
    alice.fails(NOT_FOUND, "remove web", &["list instances"]);
    alice.fails(REFUSED, "list vms -t other", &["\"other\"", "-t"]);
    alice.fails(REFUSED, "hosts", &["operators"]);
    alice.fails(NOT_FOUND, "run x --image nope --sku d2xs", &["no image \"nope\"", "image upload"]);
    let bad = "metadata: {kind: vm, name: x}\nspec: {skuRef: skus/d2xs, zone: nope, bootVolume: {deviceRef: block-storages/nope}}\n";
    check_failure(
        &alice.pipes(bad, "apply -f -"),
        REFUSED,
        "a bad instance",
        &["/spec/zone", "instance \"x\""],
    );

    let url = stage.cluster.layout.url(1);
    let token = stage.token("alice");
    let elsewhere = |server: &str| {
        let env = [("REMPART_SERVER", server), ("REMPART_TOKEN", token.as_str())];
        alice.with(&env, "", "list regions")
    };
    let start = Instant::now();
    check_failure(
        &elsewhere("http://127.0.0.1:1"),
        UNREACHABLE,
        "refused",
        &["refused", "http://127.0.0.1:1"],
    );
    assert!(start.elapsed() < Duration::from_secs(10), "who cannot be reached is not tried for long");
    let secure = url.replace("http:", "https:");
    check_failure(&elsewhere(&secure), UNREACHABLE, "TLS", &["does not speak HTTPS", "http://"]);
    let env = [("REMPART_SERVER", url.as_str()), ("REMPART_TOKEN", "x.y.z")];
    let said = alice.with(&env, "", "list regions");
    check_failure(&said, REFUSED, "a wrong token", &["JWT", "REMPART_TOKEN"]);
    assert!(!said.err.contains("x.y.z"));

    for shell in ["bash", "zsh", "fish"] {
        assert!(alice.good(&format!("completion {shell}")).contains("rempart"));
    }
    assert!(alice.good("version").starts_with("rempart "));
    assert!(alice.good("--help").contains("Exit codes"));
}

fn operators(stage: &Stage) {
    let operator = stage.person("operator");
    let said = operator.does("hosts");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.err.contains("There are no hosts"), "{said:?}");
    assert!(operator.good("list tenants").contains("alice"));
    operator.fails(NOT_FOUND, "host remove h1 --yes", &["host \"h1\""]);
    operator.fails(USAGE, "host revoke h1", &["--yes"]);
}

/// A guest that really runs, from `run` to `remove`.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_a_machine_and_gives_it_back() {
    let lab = Lab::open(1).await;
    let dir = tempfile::tempdir().expect("a directory");
    let alice = Person::at(&dir.path().join("alice"));
    let token = lab.cluster.layout.token("alice").expect("a token");
    let line =
        format!("context add lab --server {} -t acme -w fresh --token-file -", lab.cluster.layout.url(1));
    assert_eq!(alice.pipes(&token, &line).code, Some(0));
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoDemoDemoDemoDemoDemoDemoDemoDemoDemoDem alice@laptop\n";
    std::fs::write(alice.home.join("id.pub"), key).expect("written");

    // Nothing is made of what is wrong from the start.
    std::fs::write(alice.home.join("id"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").expect("written");
    alice.fails(
        USAGE,
        "run web --image tiny --sku d2xs --ssh-key id --create-workspace",
        &["private", "id.pub"],
    );
    alice.fails(
        NOT_FOUND,
        "run web --image tiny --sku huge --create-workspace",
        &["no instance SKU \"huge\"", "seca.d2xs"],
    );
    alice.fails(USAGE, "run Web_1 --image tiny --sku d2xs", &["'Web_1'", "lower-case letters"]);
    alice.fails(NOT_FOUND, "list vms", &[]);
    // What was made before a refusal is named, or removed.
    let nowhere = "run web --image tiny --sku d2xs --zone nowhere --create-workspace";
    alice.fails(REFUSED, nowhere, &["/spec/zone", "volume \"web-boot\"", "rempart remove web"]);
    alice.good("remove web --yes");
    alice.fails(REFUSED, &format!("{nowhere} --rm-on-failure"), &["/spec/zone", "is removed"]);
    assert_eq!(alice.good("list volumes"), "");

    let run =
        "run web --image tiny --sku d2xs --ssh-key id.pub --user-data - --data-volume web-data:1 --zone a";
    let said = alice.pipes("#cloud-config\nmessage: bonjour\n", &format!("{run} -o json --timeout 300"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let web: Value = serde_json::from_str(&said.out).expect("pure JSON");
    assert_eq!((&web["status"]["state"], &web["status"]["powerState"]), (&json!("active"), &json!("on")));
    assert!(said.err.contains("instance \"web\" in acme/fresh: "), "it says what it waits for: {}", said.err);
    // Once more is the same as once; with something else it is refused.
    let again = alice.pipes("#cloud-config\nmessage: bonjour\n", run);
    assert!(again.code == Some(0) && again.err.contains("there already"), "{again:?}");
    let other = alice.pipes("#cloud-config\nmessage: adieu\n", run);
    check_failure(&other, REFUSED, "another user data", &["userData", "already"]);

    console(&alice);
    screen(&alice);
    alice.good("stop web --timeout 120");
    assert!(alice.good("list vms").contains(" off "));
    alice.good("start web --timeout 120");
    assert!(alice.good("list vms").contains(" on "));
    let operator = lab.cluster.layout.token("operator").expect("a token");
    let hosts = alice.with(&[("REMPART_TOKEN", &operator)], "", "hosts");
    assert!(hosts.out.contains("h1 ") && hosts.out.contains("1 of "), "{hosts:?}");
    alice.good("remove web --yes");
    assert_eq!(alice.good("list volumes"), "");
    assert!(lab.domains().is_empty());
}

/// The screen, at a socket of the person's own that goes with the command.
fn screen(alice: &Person) {
    let socket = alice.home.join("web.vnc");
    let mut command = Command::new(binary("rempart").expect("it is built"));
    command.args(["console", "web", "--vnc-socket"]).arg(&socket);
    command.env_clear().env("HOME", &alice.home).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut said = std::io::BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("it says something");
    assert!(line.contains("web.vnc") && line.contains("Ctrl-C"), "{line}");
    assert_eq!(mode(&socket), 0o600);
    for viewer in 0..2 {
        let mut viewer_end = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
        viewer_end.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut greeting = [0; 12];
        viewer_end.read_exact(&mut greeting).expect("a greeting");
        assert_eq!(&greeting, b"RFB 003.008\n", "viewer {viewer}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("no longer offered"), "{rest}");
    assert!(!socket.exists(), "its socket goes with it");
    assert!(alice.good("list vms").contains(" on "), "the guest goes on");
}

/// The log, and the console in a real terminal (that of `script`), left with Ctrl-].
fn console(alice: &Person) {
    let line = "console web --log";
    let start = Instant::now();
    while !alice.good(line).contains("tiny: ready") {
        assert!(start.elapsed() < PATIENCE, "the guest is never ready: {}", alice.good(line));
    }
    let mut command = Command::new("script");
    let rempart = binary("rempart").expect("it is built");
    command.args(["-qec", &format!("{} console web; stty -a", rempart.display()), "/dev/null"]);
    command.env_clear().env("HOME", &alice.home).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script, of bsdutils, is there");
    let mut keys = child.stdin.take().expect("a pipe");
    let mut shown = child.stdout.take().expect("a pipe");
    let mut text = Vec::new();
    let mut until = |words: &str| {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(words) {
            let count = shown.read(&mut piece).expect("it is read");
            assert_ne!(count, 0, "{words:?} is missing in: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..count]);
        }
    };
    until("Ctrl-] leaves it");
    // The guest's own shell answers, so what is typed reaches it and what it says comes back.
    keys.write_all(b"\recho $((6 * 7))00\r").expect("typed");
    until("4200");
    keys.write_all(&[0x1d]).expect("typed");
    until("Left; the guest goes on.");
    // The terminal is as it was: it shows what is typed, and takes lines.
    until(" icanon ");
    until(" echo ");
    assert!(child.wait().expect("it ends").success());
}
