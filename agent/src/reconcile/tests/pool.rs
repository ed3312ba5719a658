//! A pool that is really full: a tmpfs of a few pages under the volumes, in a mount namespace of the test's own.

use super::*;
use std::process::Command;

const NAME: &str = "reconcile::tests::pool::a_volume_that_does_not_fit_is_said_and_made_once_there_is_room";
/// Set inside of the namespace.
const INSIDE: &str = "REMPART_TEST_OWN_MOUNTS";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_volume_that_does_not_fit_is_said_and_made_once_there_is_room() {
    if std::env::var_os(INSIDE).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(inside());
    }
    // A namespace is a process's, and so this test runs itself again; its mounts end with it.
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .env("TMPDIR", temp.path())
        .output()
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{why}");
}

async fn inside() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    let volumes = host.volume_file().parent().unwrap().to_path_buf();
    let directory = volumes.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory]);
    agent.want(|_| {});
    let seen = agent.sees(|seen| volume_failure(seen) == Some("PoolFull")).await;
    let failure = seen.volumes[&VOLUME].failure.as_ref().unwrap();
    assert!(failure.detail.contains("No space left on device"), "an operator's words: {failure:?}");
    assert!(failure.detail.contains(directory), "and where: {failure:?}");
    assert!(failure.message.contains("pool is full") && !failure.message.contains('/'), "{failure:?}");
    // Who has an instance on it is told why it does not run.
    let seen = agent.sees(|seen| failure_of(seen) == Some("VolumeUnavailable")).await;
    let failure = seen.instances[&INSTANCE].failure.as_ref().unwrap();
    assert!(failure.message.contains("pool is full"), "{failure:?}");
    assert!(!host.volume_file().exists());
    assert_eq!(host.hypervisor.starts(), 0);

    run("mount", &["-o", "remount,size=4m", directory]);
    agent.sees_running(true, 1).await;
    agent.sees(|seen| volume_failure(seen).is_none() && failure_of(seen).is_none()).await;
    let left: Vec<_> = std::fs::read_dir(&volumes).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [host.volume_file()], "nothing unfinished stays");
    agent.end().await;
}
