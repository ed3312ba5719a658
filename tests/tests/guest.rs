//! End to end: real controllers, a real agent, a real libvirt, real guests.
//!
//! One lab serves all stories, one after the other: a private libvirtd takes seconds to start, a guest under emulation
//! seconds to boot.

use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Lab, PATIENCE, console, instance, until, until_some, volume};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_live_through_everything() {
    // Looked at once an hour, the host has to ring when something happens on it: no story waits that long.
    let mut lab = Lab::open_with(1, &[("REMPART_AGENT_LOOK_EVERY_SECONDS", "3600")]).await;
    let story = |name: &str, start: Instant| eprintln!("{:>6.1} s  {name}", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let uid = a_guest_boots_and_reads_exactly_what_was_asked(&lab).await;
    story("booted with hostile strings", start);
    a_volume_grows_under_its_guest(&lab, &uid).await;
    story("volume grown", start);
    libvirtd_comes_and_goes(&lab, &uid).await;
    story("libvirtd stopped and started", start);
    controllers_come_and_go(&mut lab, &uid).await;
    story("controllers down and up", start);
    a_domain_nobody_asked_for_is_left_alone(&lab).await;
    story("foreign domain", start);
    a_guest_is_stopped_by_its_power_button(&lab, &uid).await;
    story("stopped and deleted", start);
    a_guest_that_powers_itself_off_stays_off(&mut lab).await;
    story("guest off by itself", start);
    restarts_go_through_the_power_button(&lab).await;
    story("restarted, also while it booted", start);
    equal_puts_make_one_domain(&lab).await;
    story("ten puts", start);
    a_put_and_a_delete_at_once_leave_nothing(&mut lab).await;
    story("put, delete", start);
    an_agent_killed_while_it_creates_ends_with_one_of_each(&mut lab).await;
    story("agent killed while creating", start);
    a_guest_boots_by_uefi(&lab).await;
    story("booted by UEFI", start);
    assert!(lab.volumes().is_empty(), "{:?}", lab.volumes());
}

async fn a_guest_boots_by_uefi(lab: &Lab) {
    let before = lab.domains();
    let image = json!({
        "blockStorageRef": "workspaces/images/block-storages/tiny",
        "cpuArchitecture": "amd64",
        "boot": "UEFI",
    });
    lab.operator
        .put(&Urn::tenant(Kind::Image, "public", "tiny-uefi"), &json!({ "spec": image }))
        .await
        .expect("an image");
    let disk =
        json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny-uefi" });
    lab.alice.put(&volume("modern"), &json!({ "spec": disk })).await.expect("a volume");
    let urn = instance("modern");
    lab.alice.put(&urn, &lab.body("modern", json!({}))).await.expect("an instance");
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    lab.says(&uid, "started by UEFI").await;
    // Turned off and removed while it runs, its firmware variables with it.
    lab.delete("modern").await;
    assert!(!lab.agent.data_dir.join("guests").join(&uid).exists(), "its run directory is gone");
    assert!(!lab.qemu_runs(&uid));
}

async fn a_guest_boots_and_reads_exactly_what_was_asked(lab: &Lab) -> String {
    // XML that would be another command line, YAML that would be another key.
    let user_data = "#!/bin/sh\n</name><qemu:commandline><qemu:arg value='-S'/></qemu:commandline>\nlocal-hostname: \
                     pwned\n...\n--- !!python/object\n\"'\\\u{202e}é\t";
    let key = "ssh-ed25519 AAAA </domain>\" 'x: y\\n' a@b";
    let second = "ssh-rsa BBBB\ninstance-id: stolen";
    let before = lab.domains();
    let more = json!({ "userData": user_data, "sshKeys": [key, second] });
    let urn = lab.create("web-1", more).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    lab.says(&uid, "tiny: ready").await;
    let said = console(&lab.agent, &uid);
    assert!(said.contains("tiny: hostname web-1"), "{said}");
    assert!(said.contains(&format!("tiny: instance-id {uid}")), "{said}");
    let digest: String = Sha256::digest(user_data).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(said.contains(&format!("tiny: user-data sha256 {digest}")), "{said}");
    assert!(said.contains(&format!("tiny: ssh-key {key}")), "{said}");
    assert!(said.contains("tiny: disk /dev/vda 1024 MiB"), "the boot disk comes first: {said}");
    let status = lab
        .status(&urn, "to be on", |status| status["powerState"] == "on" && status["state"] == "active")
        .await;
    assert!(status["powerStateSince"].is_string());
    let xml = lab.hypervisor.virsh(&["dumpxml", &uid]).expect("it is defined");
    assert!(
        !xml.contains("commandline") && !xml.contains("AAAA"),
        "nothing of a tenant's is in the definition: {xml}"
    );
    let twice = lab.alice.act(&urn, "start").await;
    assert_eq!(twice.expect_err("it is on").status(), Some(412));
    uid
}

async fn a_volume_grows_under_its_guest(lab: &Lab, uid: &str) {
    let spec = json!({ "sizeGB": 2, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny" });
    lab.alice.put(&volume("web-1"), &json!({ "spec": spec })).await.expect("it may grow");
    until_some("the guest's disk to be larger", PATIENCE, || async {
        let info = lab.hypervisor.virsh(&["domblkinfo", uid, "vda"]).expect("it runs");
        if info.contains("2147483648") { Ok(()) } else { Err(info) }
    })
    .await;
    lab.status(&volume("web-1"), "to say so", |status| status["sizeGB"] == 2 && status["state"] == "active")
        .await;
    let quiet = |status: &Value| status["state"] == "active" && status["powerState"] == "on";
    lab.status(&instance("web-1"), "to run as if nothing had been", quiet).await;
}

async fn libvirtd_comes_and_goes(lab: &Lab, uid: &str) {
    let urn = instance("web-1");
    lab.hypervisor.stop_daemon().expect("it stops");
    let status = lab
        .status(&urn, "to say that", |status| status["conditions"][0]["reason"] == "HypervisorUnavailable")
        .await;
    let words = status["conditions"][0]["message"].as_str().expect("words").to_owned();
    assert!(words.contains("keeps running") && !words.contains("h1"), "{words}");
    assert_eq!(status["state"], "active");
    assert_eq!(status["powerState"], "on", "the guest runs on");
    let host = lab.host("to say why", |status| status["host"]["hypervisor"]["available"] == false).await;
    assert!(host["conditions"][0]["message"].as_str().expect("words").contains("libvirtd"), "{host}");
    assert!(lab.qemu_runs(uid));
    lab.hypervisor.start_daemon().expect("it starts");
    let status = lab.status(&urn, "to heal", |status| status["conditions"][0]["reason"].is_null()).await;
    assert_eq!((status["state"].as_str(), status["powerState"].as_str()), (Some("active"), Some("on")));
}

async fn controllers_come_and_go(lab: &mut Lab, uid: &str) {
    let urn = instance("web-1");
    let before = lab.view(&urn).await.expect("it is there");
    lab.cluster.kill(1);
    assert!(lab.qemu_runs(uid));
    lab.cluster.start_controller(1).expect("it starts");
    lab.cluster.ready(1).await.expect("it is ready");
    let after = lab.view(&urn).await.expect("it is there");
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    assert!(lab.qemu_runs(uid), "the same guest, found again");
    assert!(console(&lab.agent, uid).matches("tiny: ready").count() == 1, "it was not started again");
}

async fn a_domain_nobody_asked_for_is_left_alone(lab: &Lab) {
    let file = lab.agent.data_dir.with_file_name("foreign.xml");
    let xml = "<domain type='qemu'><name>foreign</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
               <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os></domain>";
    std::fs::write(&file, xml).expect("it is written");
    lab.hypervisor.virsh(&["create", file.to_str().expect("a path")]).expect("it runs");
    let status =
        lab.host("to report it", |status| status["host"]["unexpectedDomains"][0]["name"] == "foreign").await;
    assert_eq!(status["host"]["unexpectedDomains"][0]["running"], true);
    assert!(lab.hypervisor.virsh(&["domstate", "foreign"]).expect("it is there").contains("running"));
    lab.hypervisor.virsh(&["destroy", "foreign"]).expect("it goes");
    lab.host("to forget it", |status| status["host"]["unexpectedDomains"].is_null()).await;
}

async fn a_guest_is_stopped_by_its_power_button(lab: &Lab, uid: &str) {
    let urn = instance("web-1");
    lab.alice.act(&urn, "stop").await.expect("accepted");
    let status = lab
        .status(&urn, "to be off", |status| status["powerState"] == "off" && status["state"] == "active")
        .await;
    assert!(console(&lab.agent, uid).contains("tiny: powering off (ACPI)"));
    let states: Vec<_> =
        status["conditions"].as_array().expect("a list").iter().map(|entry| entry["state"].clone()).collect();
    assert_eq!(states, ["active", "updating", "active", "updating", "active", "creating", "pending"]);
    lab.delete("web-1").await;
    assert!(!lab.domains().contains(uid));
    assert!(lab.volumes().is_empty());
}

async fn a_guest_that_powers_itself_off_stays_off(lab: &mut Lab) {
    let before = lab.domains();
    let urn = lab.create("moody", json!({ "userData": "#tiny: poweroff-after 3\n" })).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    lab.status(&urn, "to be on", |status| status["powerState"] == "on" && status["state"] == "active").await;
    lab.says(&uid, "tiny: ready").await;
    // The agent is away when it happens, and finds it so.
    lab.kill_agent();
    until("the guest to be off", PATIENCE, || !lab.qemu_runs(&uid)).await;
    lab.start_agent();
    let status = lab.status(&urn, "to be off", |status| status["powerState"] == "off").await;
    assert_eq!(status["state"], "active");
    assert_eq!(status["conditions"].as_array().map(Vec::len), Some(5), "no history entry: {status}");
    assert_eq!(status["conditions"][0]["reason"], "GuestShutdown", "{status}");
    assert_eq!(lab.view(&urn).await.expect("it is there").metadata.resource_version, Some(2));
    // Once more, with the report long made.
    lab.kill_agent();
    lab.start_agent();
    // Another instance made means that the new agent has looked at what is there and acted.
    let probe = lab.create("probe", json!({})).await;
    lab.active(&probe).await;
    assert!(!lab.qemu_runs(&uid), "it stays off");
    lab.delete("probe").await;
    // And it starts again when that is asked for, on the same disk.
    lab.alice.act(&urn, "start").await.expect("accepted");
    lab.says(&uid, "tiny: boot 2 of this disk").await;
    // With the agent there, which looks by itself once an hour: the guest's end rings.
    let off =
        |status: &Value| status["conditions"][0]["reason"] == "GuestShutdown" && status["state"] == "active";
    lab.status(&urn, "to be off by its own will once more", off).await;
    assert!(!lab.qemu_runs(&uid));
    lab.delete("moody").await;
}

async fn restarts_go_through_the_power_button(lab: &Lab) {
    let before = lab.domains();
    let urn = lab.create("again", json!({})).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    let on = |status: &Value| status["powerState"] == "on" && status["state"] == "active";
    let said = |text: &str| console(&lab.agent, &uid).matches(text).count();
    let by_button = "tiny: powering off (ACPI)";
    lab.says(&uid, "tiny: boot 1 of this disk").await;
    lab.says(&uid, "tiny: ready").await;
    lab.status(&urn, "to be on", on).await;
    lab.alice.act(&urn, "restart").await.expect("accepted");
    lab.says(&uid, "tiny: boot 2 of this disk").await;
    until("the guest to be up again", PATIENCE, || said("tiny: ready") == 2).await;
    lab.status(&urn, "to be on again", on).await;
    assert_eq!(said(by_button), 1);
    // As soon as it is on, long before its kernel hears a button.
    lab.alice.act(&urn, "stop").await.expect("accepted");
    lab.status(&urn, "to be off", |status| status["powerState"] == "off" && status["state"] == "active")
        .await;
    let starts = said("tiny: linux");
    lab.alice.act(&urn, "start").await.expect("accepted");
    lab.status(&urn, "to be on", on).await;
    assert_eq!(said("tiny: linux"), starts, "its kernel does not run yet");
    lab.alice.act(&urn, "restart").await.expect("accepted");
    // Not turned off after the grace: it has heard the button in the end.
    until("the guest to be up after it heard the button", PATIENCE, || {
        said(by_button) == 3 && said("tiny: linux") == starts + 2 && said("tiny: ready") >= 3
    })
    .await;
    let status = lab.status(&urn, "to be on in the end", on).await;
    assert!(status["conditions"][0]["reason"].is_null(), "{status}");
    assert_eq!(lab.volumes().len(), 1);
    lab.delete("again").await;
}

async fn equal_puts_make_one_domain(lab: &Lab) {
    let before = lab.domains();
    lab.create("ten", json!({})).await;
    let body = lab.body("ten", json!({}));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (alice, body) = (lab.alice.clone(), body.clone());
            tokio::spawn(async move { alice.put(&instance("ten"), &body).await.expect("accepted") })
        })
        .collect();
    for task in tasks {
        assert!(!task.await.expect("it ends").0);
    }
    lab.active(&instance("ten")).await;
    assert_eq!(lab.view(&instance("ten")).await.expect("it is there").metadata.resource_version, Some(11));
    lab.new_domain(&before).await;
    assert_eq!(lab.volumes().len(), 1);
    lab.delete("ten").await;
}

async fn a_put_and_a_delete_at_once_leave_nothing(lab: &mut Lab) {
    let before = lab.domains();
    // Both are there before the agent hears of either.
    lab.kill_agent();
    lab.create("brief", json!({})).await;
    lab.alice.delete(&instance("brief")).await.expect("accepted");
    lab.alice.delete(&volume("brief")).await.expect("accepted");
    lab.start_agent();
    for urn in [instance("brief"), volume("brief")] {
        until_some(&format!("{urn} to be gone"), PATIENCE, || async {
            match lab.alice.get(&urn).await {
                Err(error) if error.status() == Some(404) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    assert_eq!(lab.domains(), before);
    assert!(lab.volumes().is_empty(), "{:?}", lab.volumes());
    // And while the agent is at work on the one when the other comes.
    lab.create("brief", json!({})).await;
    lab.delete("brief").await;
    assert_eq!(lab.domains(), before);
    assert!(lab.volumes().is_empty(), "{:?}", lab.volumes());
}

async fn an_agent_killed_while_it_creates_ends_with_one_of_each(lab: &mut Lab) {
    for delay_ms in [0, 15, 40, 80, 150, 300] {
        let before = lab.domains();
        lab.create("torn", json!({})).await;
        // Not a wait for a fact: the moment of the kill is what varies.
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        lab.kill_agent();
        lab.start_agent();
        lab.active(&instance("torn")).await;
        let uid = lab.new_domain(&before).await;
        let volumes = lab.volumes();
        assert_eq!(volumes.len(), 1, "killed after {delay_ms} ms: {volumes:?}");
        let xml = lab.hypervisor.virsh(&["dumpxml", &uid]).expect("it is defined");
        assert!(xml.contains(volumes[0].to_str().expect("a path")), "its own disk: {xml}");
        lab.delete("torn").await;
    }
}
