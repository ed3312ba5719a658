//! The drill: a backup while everything runs, all controllers gone, a new cluster from the backup under guests that never stop.

mod cut;
mod former;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::cluster::{ReplicaRole, Restoration};
use rempart_api::fleet::{BlobOrphanClass, OrphanClass};
use rempart_api::{Kind, Urn};
use rempart_tests::{
    Cluster, Lab, Layout, PATIENCE, binary, console, instance, lab_host, until_some, volume,
};
use rustix::process::Signal;
use serde_json::{Value, json};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keys for backups, and what is done with them.
struct Operator {
    dir: tempfile::TempDir,
    public: String,
}

impl Operator {
    fn new() -> Operator {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(binary("rempart-controller").expect("it is built"));
        let output =
            command.arg("backup-key").arg("--to").arg(dir.path().join("key")).output().expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        Operator { public: text(&output.stdout).trim().to_owned(), dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rempart(&self, url: &str, token: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("rempart").expect("it is built"));
        command.args(arguments).env_clear().current_dir(self.dir.path());
        command.env("HOME", self.dir.path()).env("REMPART_SERVER", url).env("REMPART_TOKEN", token);
        command.output().expect("it runs")
    }

    fn back_up(&self, layout: &Layout, id: usize, to: &str) -> Output {
        let token = layout.token("operator").expect("a token");
        self.rempart(&layout.url(id), &token, &["cluster", "backup", "--recipient", &self.public, "--to", to])
    }

    fn restore(&self, layout: &Layout, id: usize, more: &[&str]) -> Output {
        let mut command = Command::new(binary("rempart-controller").expect("it is built"));
        command.arg("restore").arg("--backup").arg(self.file("backup.age"));
        command.arg("--identity").arg(self.file("key")).arg("--root-key").arg(self.file("root.key"));
        command.arg("--cluster-dir").arg(layout.identity_dir(id)).arg("--data-dir").arg(layout.data_dir(id));
        command.arg("--replica-id").arg(id.to_string()).arg("--address").arg(layout.internal_address(id));
        command.args(more).output().expect("it runs")
    }
}

/// What `sql` gives in a controller's private Postgres.
fn query(data_dir: &Path, sql: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "rempart", "-d", "postgres", "-c", sql, "-h"]);
    let output = command.arg(data_dir.join("postgres/socket")).output().expect("psql is installed");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

fn history_up_to(layout: &Layout, id: usize, index: u64) -> String {
    let sql = format!(
        "SELECT count(*) || ' ' || md5(string_agg(a::text, '' ORDER BY log_index, ordinal)) FROM audit a WHERE log_index <= {index}"
    );
    query(&layout.data_dir(id), &sql)
}

async fn restoration(operator: &Client) -> Result<Restoration, String> {
    let list = operator.replicas().await.map_err(|error| error.to_string())?;
    list.restored.ok_or_else(|| "nothing of a restore".to_owned())
}

/// A client of the restored controller, once its tokens are of a later second than the restore.
async fn client(cluster: &Cluster, id: usize, subject: &str) -> Client {
    until_some("a token that counts", PATIENCE, || async {
        let client = cluster.client(id, subject).map_err(|error| error.to_string())?;
        let probe = client.get(&Urn::global(Kind::Region, "local")).await;
        probe.map(|_| client).map_err(|error| error.to_string())
    })
    .await
}

/// A record of the agent's ledger.
fn ledger(lab: &Lab, uid: &str) -> Value {
    let path = lab.agent.data_dir.join("ledger/instances").join(format!("{uid}.json"));
    let text = std::fs::read_to_string(path).expect("a record");
    serde_json::from_str(text.lines().nth(1).expect("its second line")).expect("JSON")
}

async fn power(lab: &Lab, name: &str, wanted: &str) {
    lab.status(&instance(name), wanted, |status| {
        status["powerState"] == wanted && status["state"] == "active"
    })
    .await;
}

/// A guest of its own name, on or off; its uid.
async fn guest(lab: &Lab, name: &str, on: bool) -> String {
    let before = lab.domains();
    let urn = lab.create(name, json!({})).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    if on {
        lab.alice.act(&urn, "start").await.expect("accepted");
        power(lab, name, "on").await;
        lab.says(&uid, "tiny: boot 1").await;
    }
    uid
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_comes_back_from_its_backup_under_running_guests() {
    let mut lab = Lab::open_with_spares(3, 2).await;
    // The restored one comes where an old one was.
    let ports = &mut lab.cluster.layout.ports;
    ports[3] = ports[0];
    let keys = Operator::new();
    let (keeps, late, halts) = (
        guest(&lab, "keeps", true).await,
        guest(&lab, "late", false).await,
        guest(&lab, "halts", true).await,
    );
    let goes = guest(&lab, "goes", false).await;
    let before = ledger(&lab, &keeps);

    // A backup, while somebody writes.
    let (writing, alice) = (Arc::new(AtomicBool::new(true)), lab.alice.clone());
    let goes_on = writing.clone();
    let writer = tokio::spawn(async move {
        let mut written = 0_u64;
        while goes_on.load(Ordering::Relaxed) {
            let body = json!({ "labels": { "round": written.to_string() } });
            alice.put(&Urn::tenant(Kind::Workspace, "acme", "busy"), &body).await.expect("accepted");
            written += 1;
        }
        written
    });
    let layout = lab.cluster.layout.clone();
    let taken = tokio::task::block_in_place(|| keys.back_up(&layout, 2, "backup.age"));
    writing.store(false, Ordering::Relaxed);
    assert!(writer.await.expect("it wrote") > 0);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let said = text(&taken.stdout);
    assert!(said.contains("not in it: root.key"), "{said}");
    let mode = std::fs::metadata(keys.file("backup.age")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // What it does not know of.
    lab.alice.act(&instance("late"), "start").await.expect("accepted");
    power(&lab, "late", "on").await;
    lab.says(&late, "tiny: boot 1").await;
    lab.alice.act(&instance("halts"), "stop").await.expect("accepted");
    power(&lab, "halts", "off").await;
    lab.delete("goes").await;
    let new = guest(&lab, "new", true).await;

    // All controllers are lost, one with its disk; two will be found again.
    let old_token = layout.token("operator").expect("a token");
    let old_alice = layout.token("alice").expect("a token");
    std::fs::copy(layout.cluster_dir().join("root.key"), keys.file("root.key")).expect("kept elsewhere");
    let check = tokio::task::block_in_place(|| keys.restore(&layout, 4, &["--check"]));
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert!(!layout.identity_dir(4).exists() && !layout.data_dir(4).exists(), "it was to write nothing");
    let index: u64 = {
        let said = text(&check.stdout);
        let rest = said.split("entries up to ").nth(1).expect("its index");
        rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let history = history_up_to(&layout, 1, index);
    let agent = lab.daemon.take().expect("it runs");
    agent.signal(Signal::STOP);
    (1..=3).for_each(|id| lab.cluster.kill(id));
    for dir in [layout.data_dir(1), layout.identity_dir(1)] {
        // Its Postgres writes until it has noticed.
        until_some("the directory to go", PATIENCE, || async {
            std::fs::remove_dir_all(&dir).map_err(|error| error.to_string())
        })
        .await;
    }

    let restored = tokio::task::block_in_place(|| keys.restore(&layout, 4, &[]));
    assert!(restored.status.success(), "{}{}", text(&restored.stdout), text(&restored.stderr));
    let again = tokio::task::block_in_place(|| keys.restore(&layout, 4, &[]));
    assert!(!again.status.success(), "not over what is there");
    lab.cluster.layout.begin_with(4);
    lab.cluster.start_controller(4).expect("it starts");
    lab.cluster.ready(4).await.expect("it serves");
    lab.operator = client(&lab.cluster, 4, "operator").await;
    lab.alice = client(&lab.cluster, 4, "alice").await;
    let stale = Client::new(&layout.url(4), &old_token).expect("a client").replicas().await;
    assert_eq!(stale.expect_err("from before").status(), Some(401));

    // Read-only, and it says what for.
    let status = restoration(&lab.operator).await.expect("it was restored");
    assert_eq!((status.incarnation, &status.waits_for[..]), (2, &["h1".to_owned()][..]));
    assert!(lab.view(&instance("goes")).await.is_ok(), "what was read then is read again");
    for refused in [
        lab.alice.act(&instance("keeps"), "stop").await,
        lab.alice.delete(&instance("halts")).await,
        lab.alice.put(&Urn::tenant(Kind::Workspace, "acme", "w9"), &json!({})).await.map(|_| ()),
    ] {
        let words = refused.expect_err("it is read-only").to_string();
        assert!(words.contains("read-only until it has been compared") && !words.contains("h1"), "{words}");
    }
    let refused = lab.operator.resume_cluster(&[]).await.expect_err("a host is waited for");
    assert!(refused.to_string().contains("h1"), "{refused}");

    // The host goes on where it was, finds the new controller by itself, and says what it has.
    agent.signal(Signal::CONT);
    lab.daemon = Some(agent);
    until_some("the cluster to open", PATIENCE, || async {
        let status = restoration(&lab.operator).await?;
        if status.opened_at.is_some() { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;

    // Nobody's guest was stopped or started; what is wanted is what was real.
    power(&lab, "keeps", "on").await;
    power(&lab, "late", "on").await;
    power(&lab, "halts", "off").await;
    for (uid, boots) in [(&keeps, 1), (&late, 1), (&halts, 1), (&new, 1)] {
        assert_eq!(lab.boots(uid), boots, "{}", console(&lab.agent, uid));
    }
    assert!([&keeps, &late, &new].iter().all(|uid| lab.qemu_runs(uid)) && !lab.qemu_runs(&halts));
    until_some("the agent to have heard the new epochs", PATIENCE, || async {
        let now = ledger(&lab, &keeps);
        let grew = now["instance"]["epoch"].as_u64()
            > before["instance"]["epoch"].as_u64().map(|old| old + (1 << 40));
        if grew && now["stamp"]["incarnation"] == 2 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;

    // What was made after the backup is listed, and untouched; what was deleted after it is not made anew.
    let orphan = until_some("the new guest among the orphans", PATIENCE, || async {
        let orphans = lab.operator.orphans().await.map_err(|error| error.to_string())?;
        let lost = orphans.items.iter().any(|one| one.class == OrphanClass::Lost);
        // Nobody has copied the bytes of its image.
        let [blob] = &orphans.blobs.items[..] else { return Err(format!("{orphans:?}")) };
        assert_eq!((blob.class, blob.controller), (BlobOrphanClass::Lost, None));
        assert!(blob.references[0].ends_with("images/tiny"), "{blob:?}");
        // Its agent calls it a leftover once it has looked at its directories again.
        let found = orphans.items.iter().find(|one| one.id.ends_with(&new));
        let found = found.filter(|one| lost && one.running && one.class == OrphanClass::Leftover);
        found.cloned().ok_or_else(|| format!("{orphans:?}"))
    })
    .await;
    assert_eq!((orphan.host.as_str(), orphan.repair), ("h1", None), "it runs, so nothing is offered");
    assert!(!lab.domains().contains(&goes) || !lab.qemu_runs(&goes));
    let volumes = lab.volumes().len();
    lab.delete("goes").await;
    assert_eq!(lab.volumes().len(), volumes, "there was no disk of it");

    let guests = [("keeps", &keeps), ("late", &late)];
    let _former = former::they_drive_nothing(&mut lab, &layout, &old_alice, guests).await;

    // It is a cluster as any other.
    power(&lab, "late", "on").await;
    lab.alice.act(&instance("keeps"), "stop").await.expect("accepted");
    power(&lab, "keeps", "off").await;
    lab.alice.act(&instance("keeps"), "start").await.expect("accepted");
    power(&lab, "keeps", "on").await;
    lab.says(&keeps, "tiny: boot 2").await;
    assert_eq!(history_up_to(&layout, 4, index), history, "the audit trail up to the backup");
    lab.cluster.start_controller(5).expect("it joins and starts");
    lab.operator.join_replica(5, &layout.internal_address(5)).await.expect("accepted");
    until_some("controller 5 to vote", PATIENCE, || async {
        let list = lab.operator.replicas().await.map_err(|error| error.to_string())?;
        let votes = list.items.iter().any(|one| one.id == 5 && one.status.role == ReplicaRole::Voter);
        if votes { Ok(()) } else { Err(format!("{list:?}")) }
    })
    .await;
    let refused = lab.operator.join_replica(3, "127.0.0.1:1").await.expect_err("of before");
    assert!(refused.to_string().contains("an id from 4 on"), "{refused}");
    until_some("its audit trail", PATIENCE, || async {
        let there = history_up_to(&layout, 5, index);
        if there == history { Ok(()) } else { Err(there) }
    })
    .await;
    assert!(lab.operator.get(&lab_host()).await.is_ok());
    assert!(lab.view(&volume("new")).await.is_err(), "no row came of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_cluster_is_backed_up_and_opens_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::with_spares(&dir.path().join("c"), 1, 1).expect("ports");
    layout.ports[1] = layout.ports[0];
    let mut cluster = Cluster::start_layout(layout.clone(), &[]).await.expect("a cluster");
    let keys = Operator::new();
    let (url, token) = (layout.url(1), layout.token("operator").expect("a token"));
    let fails = |token: &str, arguments: &[&str], words: &str| {
        let output = tokio::task::block_in_place(|| keys.rempart(&url, token, arguments));
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
        let names = std::fs::read_dir(keys.dir.path()).expect("a directory").flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).filter(|name| name != "key").collect();
        assert!(names.is_empty(), "{names:?}");
    };
    let backup = ["cluster", "backup", "--to", "backup.age", "--recipient"];
    fails(&token, &backup[..4], "--recipient");
    fails(&token, &[&backup[..], &["age1none"]].concat(), "is no public key of age");
    let alice = layout.token("alice").expect("a token");
    fails(&alice, &[&backup[..], &[keys.public.as_str()]].concat(), "");

    tokio::task::block_in_place(|| cut::a_line_that_closes_leaves_no_file(&keys, &layout));

    let taken = tokio::task::block_in_place(|| keys.back_up(&layout, 1, "backup.age"));
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let bytes = std::fs::read(keys.file("backup.age")).expect("a file");
    assert!(
        bytes.starts_with(b"age-encryption.org/v1\n")
            && !bytes.windows(8).any(|window| window == b"operator")
    );
    let over = tokio::task::block_in_place(|| keys.back_up(&layout, 1, "backup.age"));
    assert!(
        !over.status.success() && text(&over.stderr).contains("not written over"),
        "{}",
        text(&over.stderr)
    );
    assert_eq!(std::fs::read(keys.file("backup.age")).expect("a file"), bytes);

    std::fs::copy(layout.cluster_dir().join("root.key"), keys.file("root.key")).expect("kept elsewhere");
    cluster.kill(1);
    tokio::task::block_in_place(|| cut::a_file_without_its_end_is_refused(&keys, &layout, 2));
    let restored = tokio::task::block_in_place(|| keys.restore(&layout, 2, &["--incarnation", "5"]));
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    cluster.layout.begin_with(2);
    cluster.start_controller(2).expect("it starts");
    cluster.ready(2).await.expect("it serves");
    let operator = client(&cluster, 2, "operator").await.patient(Duration::from_secs(20));
    until_some("it to be open, without a host to wait for", PATIENCE, || async {
        let status = restoration(&operator).await?;
        if status.opened_at.is_some() && status.incarnation == 5 {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    operator
        .put(&Urn::global(Kind::Tenant, "acme"), &json!({ "spec": { "owners": ["alice"] } }))
        .await
        .expect("it takes changes");
    // Once more from the start: what was restored is no different from what was founded.
    cluster.kill(2);
    cluster.start_controller(2).expect("it starts");
    cluster.ready(2).await.expect("it serves");
    let operator = client(&cluster, 2, "operator").await;
    assert!(operator.get(&Urn::global(Kind::Tenant, "acme")).await.is_ok());
}
