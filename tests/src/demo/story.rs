//! What the demo does and shows, step by step.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rempart_api::client::Client;
use rempart_api::{Kind, ResourceView, Urn};
use rempart_tests::{Agent, Hypervisor, Layout, console, offer_image, tiny_image, until_some, write_secret};
use serde_json::{Value, json};

use crate::processes;

/// Writes a line for the person who watches.
pub(crate) fn say(line: &str) {
    // A closed pipe is no reason to stop half-way.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Free ports, the usual ones where nobody has them.
fn layout(dir: &Path) -> anyhow::Result<Layout> {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let usual: Vec<(u16, u16)> = (1..=3).map(|id| (8080 + id, 7080 + id)).collect();
    if usual.iter().all(|(http, internal)| free(*http) && free(*internal)) {
        return Ok(Layout { dir: dir.to_owned(), ports: usual });
    }
    Layout::new(dir, 3)
}

struct Story {
    start: Instant,
    client: Client,
}

impl Story {
    fn done(&self, what: &str) {
        say(&format!("  {:>5.1} s  {what}", self.start.elapsed().as_secs_f64()));
    }

    /// A PUT, shown as the curl command that does the same.
    async fn put(&self, urn: &Urn, body: &Value) -> anyhow::Result<ResourceView> {
        let path = self.client.url(urn);
        say(&format!("\n  $ curl -X PUT $H {path} -d '{}'", shorten(&body.to_string())));
        let (created, view) = self.client.put(urn, body).await?;
        let state = view.status.as_ref().and_then(|status| status["state"].as_str()).unwrap_or("-");
        self.done(&format!("{} {}", if created { "201 created," } else { "200 replaced," }, state));
        Ok(view)
    }

    async fn wait(&self, urn: &Urn, what: &str, good: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let status = until_some(what, Duration::from_secs(120), || async {
            let view = self.client.get(urn).await.map_err(|error| error.to_string())?;
            let status = view.status.unwrap_or_default();
            if good(&status) { Ok(status) } else { Err(status["conditions"][0].to_string()) }
        })
        .await;
        self.done(what);
        Ok(status)
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 160 {
        text.to_owned()
    } else {
        text.chars().take(157).chain("...".chars()).collect()
    }
}

/// Brings everything up and shows a tenant getting a virtual machine.
pub(crate) async fn tell(dir: &Path) -> anyhow::Result<()> {
    let layout = layout(dir)?;
    layout.init()?;
    let start = Instant::now();
    say("Rempart demo: three controllers, one hypervisor, one tenant, one virtual machine.\n");
    for id in 1..=layout.ports.len() {
        let pid = processes::start(dir, &format!("c{id}"), layout.controller_command(id)?)?;
        say(&format!(
            "  controller {id}   {}   pid {pid}, its own Postgres, log {}/c{id}.log",
            layout.url(id),
            dir.display()
        ));
    }
    // Kept for later sessions: the demo's hypervisor is ended by `down`, not when this process goes.
    let hypervisor = std::mem::ManuallyDrop::new(Hypervisor::start(&dir.join("hv"))?);
    say(&format!("  libvirt        {}", hypervisor.uri()));
    let image = tiny_image(&dir.join("images"))?;
    let agent = Agent::new(dir, "host-1", &layout, &hypervisor.uri(), &image.dir)?;
    let pid = processes::start(dir, "host-1", agent.command()?)?;
    say(&format!("  agent host-1   pid {pid}, log {}/host-1.log", dir.display()));

    let operator = Client::new(&layout.url(1), &layout.token("operator", false)?)?;
    let token = layout.token("alice", false)?;
    let story = Story { start, client: Client::new(&layout.url(1), &token)? };
    write_secret(&dir.join("alice.token"), &token)?;
    let region = Urn::global(Kind::Region, "local");
    until_some("a leader", Duration::from_secs(60), || async {
        operator.get(&region).await.map_err(|error| error.to_string())
    })
    .await;
    story.done("the controllers elected a leader and founded region 'local'");
    let host = Urn::global(Kind::Host, "host-1");
    let seen = until_some("host-1 to join", Duration::from_secs(60), || async {
        operator.get(&host).await.map_err(|error| error.to_string())
    })
    .await;
    let offered = &seen.status.unwrap_or_default()["host"]["virtualization"];
    story.done(&format!(
        "host-1 joined: {}, {}",
        text(offered, "hypervisorVersion"),
        text(offered, "acceleration")
    ));
    say(&format!("           ({})", text(offered, "reason")));

    say("\nThe operator offers an image and opens a tenant for alice.");
    offer_image(&operator, &layout.url(1), &image).await?;
    let tenant = Urn::global(Kind::Tenant, "acme");
    operator.put(&tenant, &json!({ "spec": { "owners": ["alice"] } })).await?;
    story.done("image 'tiny' and tenant 'acme' are there");

    say("\nAlice asks for a virtual machine. H stands for her headers: authorization and content-type.");
    let workspace = Urn::tenant(Kind::Workspace, "acme", "demo");
    story.put(&workspace, &json!({ "spec": {} })).await?;
    let volume = Urn::workspace(Kind::BlockStorage, "acme", "demo", "web-1-boot");
    let spec = json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny" });
    story.put(&volume, &json!({ "spec": spec })).await?;
    let instance = Urn::workspace(Kind::Instance, "acme", "demo", "web-1");
    let spec = json!({
        "skuRef": "skus/d2xs",
        "zone": "a",
        "bootVolume": { "deviceRef": "block-storages/web-1-boot" },
        "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoDemoDemoDemoDemoDemoDemoDemoDemoDemoDemo alice@laptop"],
        "userData": "#cloud-config\nmessage: bonjour de Rempart\n",
    });
    story.put(&instance, &json!({ "spec": spec })).await?;
    story
        .wait(&instance, "active: its disk is made and its domain defined", |status| {
            status["state"] == "active"
        })
        .await?;

    say(&format!("\n  $ curl -X POST $H {}/start", story.client.url(&instance)));
    let started = Instant::now();
    story.client.act(&instance, "start").await?;
    story.done("202 accepted");
    let domains = hypervisor.domains()?;
    let uid = domains.first().context("no domain on the hypervisor")?;
    let first_line = until_some("the guest's first line", Duration::from_secs(120), || async {
        console(&agent, uid)
            .lines()
            .find(|line| line.starts_with("tiny:"))
            .map(str::to_owned)
            .ok_or_else(|| "nothing yet".to_owned())
    })
    .await;
    let seconds = started.elapsed().as_secs_f64();
    until_some("the guest to be ready", Duration::from_secs(120), || async {
        let said = console(&agent, uid);
        if said.contains("tiny: ready") { Ok(()) } else { Err(first_line.clone()) }
    })
    .await;
    story
        .wait(&instance, "active, power on", |status| {
            status["powerState"] == "on" && status["state"] == "active"
        })
        .await?;
    say(&format!("\nThe guest's serial console ({seconds:.1} s from POST to its first line):\n"));
    for line in console(&agent, uid).lines().filter(|line| line.starts_with("tiny:")) {
        say(&format!("  | {}", line.trim_end()));
    }
    next_steps(dir, &layout, &story.client.url(&instance), &agent, uid, &hypervisor.uri());
    Ok(())
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or("?").to_owned()
}

fn next_steps(dir: &Path, layout: &Layout, url: &str, agent: &Agent, uid: &str, uri: &str) {
    let dir = dir.display();
    let console = agent.data_dir.join("guests").join(uid).join("serial.log");
    say(&format!(
        "\nEverything keeps running. What to try next:\n\n  \
         alice() {{ curl -sS -H \"authorization: Bearer $(cat {dir}/alice.token)\" \"$@\"; }}\n  \
         web1={url}\n  \
         alice $web1 | jq .status       # how it is, and why\n  \
         alice -X POST $web1/stop       # presses its power button; then start it again with $web1/start\n  \
         tail -f {}\n  \
         virsh -c '{uri}' list --all\n  \
         kill -9 $(awk '$3==\"c1\"{{print $1}}' {dir}/processes)   # any controller; then ask another: {}\n  \
         make demo-down                 # ends and removes all of it",
        console.display(),
        layout.url(2),
    ));
}
