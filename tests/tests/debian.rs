//! A Debian by Rempart, end to end: the image is built from packages, uploaded, booted by UEFI, and set up by cloud-init
//! from what a tenant has asked for; it goes off by its power button.
//!
//! `tiny` shows what a guest is given; only a distribution shows that it is what distributions understand.

use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Lab, built_image, console, instance, sha256_of, until_some, volume};
use serde_json::json;

/// Emulated, on two busy cores, Debian takes a minute and a half.
const PATIENCE: Duration = Duration::from_secs(400);

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDebianDebianDebianDebianDebianDebianDebianDeb alice@laptop";

/// The last thing that cloud-init does is to say what it has made of the rest, in one line.
const USER_DATA: &str = "#cloud-config
password: demo
chpasswd: { expire: false }
write_files:
  - path: /etc/motd
    content: |
      bonjour de Rempart
runcmd:
  - exec > /dev/console 2>&1
  - echo \"TOLD $(hostname) | $(cat ~debian/.ssh/authorized_keys | tr -d '\\n') | $(cat /etc/motd | tr -d '\\n') | $(df -BM --output=size / | tail -n 1) | $(systemctl is-active ssh) | $(passwd -S debian | cut -d ' ' -f 2) END\"
";

async fn says(lab: &Lab, uid: &str, words: &str) -> String {
    until_some(&format!("the guest to say {words:?}"), PATIENCE, || async {
        let log = console(&lab.agent, uid);
        let line = log.lines().find(|line| line.contains(words)).map(str::to_owned);
        line.ok_or_else(|| log.lines().last().unwrap_or_default().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debian_is_set_up_as_its_tenant_asked() {
    let start = Instant::now();
    let story = |what: &str| eprintln!("{:>6.1} s  {what}", start.elapsed().as_secs_f64());
    let file = built_image("debian").expect("the image debian");
    story("the image is built");
    let lab = Lab::open(1).await;

    let upload = Urn::workspace(Kind::BlockStorage, "public", "images", "debian");
    let size = json!({ "spec": { "sizeGB": 2, "skuRef": "skus/le500" } });
    lab.operator.put(&upload, &size).await.expect("a volume");
    let bytes = std::fs::read(&file).expect("the image");
    let query = [("format", "qcow2"), ("sha256", &*sha256_of(&bytes))];
    let content = tokio::fs::File::open(&file).await.expect("the image");
    let length = bytes.len() as u64;
    lab.operator.upload(&upload, "content", &query, (content, length), |_| {}).await.expect("taken");
    let image = json!({
        "blockStorageRef": "workspaces/images/block-storages/debian",
        "cpuArchitecture": "amd64",
        "boot": "UEFI",
        "initializer": "cloudinit-22",
    });
    let urn = Urn::tenant(Kind::Image, "public", "debian");
    lab.operator.put(&urn, &json!({ "spec": image })).await.expect("an image");
    story("uploaded");

    let before = lab.domains();
    let disk =
        json!({ "sizeGB": 5, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/debian" });
    lab.alice.put(&volume("deb-1"), &json!({ "spec": disk })).await.expect("a volume");
    let urn = instance("deb-1");
    let body = lab.body("deb-1", json!({ "userData": USER_DATA, "sshKeys": [KEY] }));
    lab.alice.put(&urn, &body).await.expect("an instance");
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    story("started");
    says(&lab, &uid, "deb-1 login:").await;
    story("login prompt");
    let told = says(&lab, &uid, "END").await;
    story("cloud-init has run what it was given");
    let told: Vec<&str> = told.split(" | ").collect();
    let [name, key, motd, size, ssh, password] = told[..] else { panic!("{told:?}") };
    assert!(name.ends_with("TOLD deb-1"), "{told:?}");
    assert_eq!(key, KEY);
    assert_eq!(motd, "bonjour de Rempart");
    let size_mib: u64 = size.trim().trim_end_matches('M').parse().expect("a number of MiB");
    assert!((4500..5 * 1024).contains(&size_mib), "its root has grown to its volume of 5 GB: {told:?}");
    assert_eq!(ssh, "active");
    assert!(password.starts_with('P'), "the password is usable: {told:?}");
    let finished = says(&lab, &uid, "finished at").await;
    assert!(finished.contains("DataSourceNoCloud"), "{finished}");

    lab.alice.act(&urn, "stop").await.expect("accepted");
    lab.status(&urn, "to be off", |status| status["powerState"] == "off").await;
    says(&lab, &uid, "Power").await;
    story("off by its power button");
}
