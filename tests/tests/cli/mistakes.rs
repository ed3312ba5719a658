//! What a person hears who mistypes, or whose files, contexts or pipes are not what they should be: before anything is
//! asked of a server, and the same wherever it can be told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rempart_tests::binary;
use serde_json::Value;

use super::{Person, UNREACHABLE, USAGE, check_failure};

/// A server that does not exist, and is not to be asked.
const NOBODY: [(&str, &str); 2] = [("REMPART_SERVER", "http://127.0.0.1:1"), ("REMPART_TOKEN", "a.b.c")];

#[test]
fn a_mistake_is_told_before_what_is_missing_around_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let person = Person::at(&dir.path().join("p"));
    for (name, text) in [
        ("bad.yaml", "metadata: {kind: instanec, name: x}\n"),
        ("nameless.yaml", "metadata: {kind: vm}\n"),
        ("broken.yaml", "metadata: [\n"),
        ("disk.raw", "QFI\u{fb}"),
        ("disk.img", "x"),
        ("no-key", "hello\n"),
    ] {
        std::fs::write(person.home.join(name), text).expect("written");
    }
    let run = "run x --image tiny --sku d2xs";
    for (line, words) in [
        (format!("{run} --data-volume a:9999999999"), &["from 1 to 1000000"][..]),
        (format!("{run} --data-volume a:0"), &["from 1 to 1000000"]),
        (format!("{run} --data-volume A:1"), &["lower-case letters"]),
        (format!("{run} --size-gb 1000001"), &["from 1 to 1000000"]),
        (format!("{run} --timeout 99999999999"), &["from 0 to 31536000"]),
        (format!("{run} --ssh-key nope"), &["nope", "not there", "Is the path right?"]),
        (format!("{run} --ssh-key no-key"), &["no SSH public key"]),
        (format!("{run} --user-data nope"), &["nope", "not there"]),
        (format!("{run} --user-data ."), &["is a directory"]),
        ("run Web_1 --image tiny --sku d2xs".to_owned(), &["Web_1", "lower-case letters"]),
        ("get vm A_b".to_owned(), &["A_b", "lower-case letters"]),
        ("list vms -t A_b".to_owned(), &["A_b", "lower-case letters"]),
        ("list instanec".to_owned(), &["'instance'"]),
        ("console x --log --tail-bytes 0".to_owned(), &["from 1 to 1048576"]),
        ("delete sku d2xs --yes".to_owned(), &["nobody deletes skus", "list skus"]),
        ("delete region local --yes".to_owned(), &["nobody deletes regions"]),
        ("console x -o json".to_owned(), &["--log"]),
        ("image upload nope.raw --name x".to_owned(), &["nope.raw", "not there"]),
        ("image upload disk.img --name x".to_owned(), &["--format"]),
        ("image upload disk.img --name x --format qcow2".to_owned(), &["qcow2"]),
        ("image upload disk.raw --name x --format vmdk".to_owned(), &["raw, qcow2"]),
        ("apply -f nope.yaml".to_owned(), &["nope.yaml", "not there"]),
        ("apply -f bad.yaml".to_owned(), &["bad.yaml, resource 1", "instanec", "list --help"]),
        ("apply -f nameless.yaml".to_owned(), &["metadata.name"]),
        ("apply -f broken.yaml".to_owned(), &["cannot understand broken.yaml"]),
    ] {
        // Without any context, and with a server but neither tenant nor workspace.
        check_failure(&person.does(&line), USAGE, &line, words);
        check_failure(&person.with(&NOBODY, "", &line), USAGE, &line, words);
    }
    for line in [run, "list vms", "delete vm x", "start x", "apply -f disk.img"] {
        let said = person.with(&NOBODY, "", line);
        if line.starts_with("apply") {
            check_failure(&said, USAGE, line, &["disk.img"]);
        } else {
            check_failure(
                &said,
                USAGE,
                line,
                &["tenant and workspace", "-t TENANT -w WORKSPACE", "context add"],
            );
        }
    }
}

#[test]
fn contexts_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let person = Person::at(&dir.path().join("p"));
    std::fs::create_dir_all(person.config().parent().expect("a directory")).expect("made");
    let keep = |text: &[u8], mode: u32| {
        std::fs::write(person.config(), text).expect("written");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(person.config(), mode).expect("set");
    };
    keep(b"contexts = [\n", 0o600);
    person.fails(USAGE, "list regions", &["config.toml, line", "context add"]);
    keep(b"\xff\xfe", 0o600);
    person.fails(USAGE, "list regions", &["config.toml", "is no text"]);
    keep(b"", 0o644);
    person.fails(USAGE, "context list", &["chmod 600"]);
    keep(b"[contexts.a]\nserver = \"http://127.0.0.1:1\"\ntoken = \"t\"\n", 0o600);
    person.fails(USAGE, "--context b list regions", &["\"b\"", "known: a", "context add"]);
    person.fails(USAGE, "list regions", &["context"]);
    person.fails(UNREACHABLE, "--context a list regions", &["http://127.0.0.1:1", "refused"]);
    // What a program reads is JSON, whatever the command.
    for (line, field, is) in [
        ("context use a -o json", "current", Value::Bool(true)),
        ("context show -o json", "server", Value::from("http://127.0.0.1:1")),
        ("context remove a --yes -o json", "removed", Value::Bool(true)),
        ("version -o json", "version", Value::from(env!("CARGO_PKG_VERSION"))),
    ] {
        let answer: Value = serde_json::from_str(&person.good(line)).expect("pure JSON");
        assert_eq!(answer[field], is, "{line}");
    }
    assert_eq!(person.good("context list -o json"), "[]\n");
}

#[test]
fn help_says_how_and_ends_well() {
    let dir = tempfile::tempdir().expect("a directory");
    let person = Person::at(&dir.path().join("p"));
    for command in [
        "list",
        "get",
        "explain",
        "apply",
        "delete",
        "run",
        "start",
        "stop",
        "restart",
        "remove",
        "console",
        "hosts",
        "image upload",
        "host cordon",
        "host uncordon",
        "host revoke",
        "host remove",
        "context add",
        "context use",
        "context remove",
    ] {
        let help = person.good(&format!("{command} -h"));
        assert!(help.contains("Example"), "{command} shows no example: {help}");
        assert_eq!(person.good(&format!("help {command}")), person.good(&format!("{command} --help")));
    }
    let help = person.good("help");
    for code in ["  0  ", "  1  ", "  2  ", "  3  ", "  4  ", "  5  ", "  130  "] {
        assert!(help.contains(code), "exit code {code} is not told");
    }
}

/// A pipe that nobody reads any more ends a command without a word.
#[test]
fn nobody_who_reads_is_no_panic() {
    let dir = tempfile::tempdir().expect("a directory");
    for line in [&["completion", "bash"][..], &["help", "run"]] {
        let mut command = Command::new(binary("rempart").expect("it is built"));
        command.args(line).env_clear().env("HOME", dir.path());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line:?}");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{line:?}: {:?}", output.status);
    }
}

/// Ctrl-C ends what waits for standard input.
#[test]
fn ctrl_c_ends_a_command_that_reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(binary("rempart").expect("it is built"));
    command.args(["context", "add", "a", "--server", "http://127.0.0.1:1", "--token-file", "-"]);
    command.env_clear().env("HOME", dir.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // Open until it has ended: it waits for what comes.
    let input = child.stdin.take();
    let pid = rustix::process::Pid::from_child(&child);
    // It reads once it has taken the signal over: SigCgt in its status has the bit of SIGINT.
    let status = format!("/proc/{}/status", child.id());
    let catches = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & 0b10 != 0
    };
    let start = std::time::Instant::now();
    while !catches() {
        assert!(start.elapsed() < rempart_tests::PATIENCE, "it never takes the signal over");
        std::thread::yield_now();
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Interrupted"));
}

/// In a real shell: what Tab would offer.
#[test]
fn bash_completes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut shell = Command::new("bash");
    shell.arg("-s").env_clear().env("HOME", dir.path());
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().expect("bash is there");
    let rempart = binary("rempart").expect("it is built");
    let script = format!(
        "source <({} completion bash)\n\
         offers() {{ COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _rempart rempart \"${{@: -1}}\" \"${{@: -2:1}}\"; \
         echo \"${{COMPREPLY[*]}}\"; }}\n\
         offers rempart li\noffers rempart list vol\noffers rempart image up\noffers rempart delete --y\n",
        rempart.display()
    );
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let lines: Vec<String> =
        BufReader::new(&output.stdout[..]).lines().map(|line| line.expect("text")).collect();
    assert_eq!(lines, ["list", "volume", "upload", "--yes"], "{}", String::from_utf8_lossy(&output.stderr));
    let said = Person::at(&dir.path().join("p")).does("completion bash -o json");
    check_failure(&said, USAGE, "completion", &["Leave -o away"]);
}
