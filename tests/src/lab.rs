//! The whole of it at once: controllers, hypervisor, agent, image, tenant.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::{Kind, ResourceView, Urn};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{Cluster, Layout};
use crate::daemon::Daemon;
use crate::hypervisor::{Agent, Hypervisor, console};
use crate::image::{offer_image, tiny_image};
use crate::wait::until_some;

/// Long enough for a guest under emulation on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster, a hypervisor with its agent, the image `tiny`, and tenant `acme` with workspace `w`, owned by alice.
pub struct Lab {
    /// The controllers.
    pub cluster: Cluster,
    /// The agent's settings.
    pub agent: Agent,
    /// The agent's process, while it runs.
    pub daemon: Option<Daemon>,
    /// A tenant's client of replica 1.
    pub alice: Client,
    /// An operator's client of replica 1.
    pub operator: Client,
    /// The hypervisor. After the daemon: guests go last.
    pub hypervisor: Hypervisor,
    _dir: tempfile::TempDir,
}

/// An instance of workspace `w`.
pub fn instance(name: &str) -> Urn {
    Urn::workspace(Kind::Instance, "acme", "w", name)
}

/// A volume of workspace `w`.
pub fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "acme", "w", name)
}

/// The lab's host.
pub fn lab_host() -> Urn {
    Urn::global(Kind::Host, "h1")
}

impl Lab {
    /// Opens it with `replicas` controllers.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn open(replicas: usize) -> Lab {
        Lab::open_with(replicas, &[]).await
    }

    /// As [`Lab::open`], with settings for the agent as environment variables.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn open_with(replicas: usize, environment: &[(&'static str, &str)]) -> Lab {
        Lab::open_all(replicas, 0, environment).await
    }

    /// As [`Lab::open`], with ports for so many more controllers that come later; the agent knows them.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn open_with_spares(replicas: usize, spares: usize) -> Lab {
        Lab::open_all(replicas, spares, &[]).await
    }

    async fn open_all(replicas: usize, spares: usize, environment: &[(&'static str, &str)]) -> Lab {
        // Short: unix sockets of guests lie below it.
        let dir = tempfile::Builder::new().prefix("rl").tempdir_in("/tmp").expect("a temporary directory");
        let hypervisor = Hypervisor::start(&dir.path().join("hv")).expect("a hypervisor");
        let layout = Layout::with_spares(&dir.path().join("c"), replicas, spares).expect("ports");
        let cluster = Cluster::start_layout(layout, &[]).await.expect("a cluster");
        let image = tiny_image().expect("the image tiny");
        let mut agent = Agent::new(dir.path(), "h1", &cluster.layout, &hypervisor.uri()).expect("an agent");
        agent.environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let daemon = Some(agent.start().expect("it starts"));
        let operator = cluster.client(1, "operator").expect("a client");
        let alice = cluster.client(1, "alice").expect("a client");
        offer_image(&operator, &image).await.expect("an image");
        let tenant = json!({ "spec": { "owners": ["alice"] } });
        operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
        alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
        let lab = Lab { cluster, agent, daemon, alice, operator, hypervisor, _dir: dir };
        lab.host("to be ready", |status| status["state"] == "active" && status["reachable"] == true).await;
        lab
    }

    /// An object as alice sees it.
    ///
    /// # Errors
    /// What the API answered instead.
    pub async fn view(&self, urn: &Urn) -> Result<ResourceView, String> {
        self.alice.get(urn).await.map_err(|error| error.to_string())
    }

    /// Waits until an object's status is as it should be.
    pub async fn status(&self, urn: &Urn, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        until_some(&format!("{urn} {what}"), PATIENCE, || async {
            let status = self.view(urn).await?.status.unwrap_or_default();
            if good(&status) { Ok(status) } else { Err(status.to_string()) }
        })
        .await
    }

    /// Waits until the host's status is as it should be.
    pub async fn host(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        until_some(&format!("the host {what}"), PATIENCE, || async {
            let view = self.operator.get(&lab_host()).await.map_err(|error| error.to_string())?;
            let status = view.status.unwrap_or_default();
            if good(&status) { Ok(status) } else { Err(status.to_string()) }
        })
        .await
    }

    /// A boot volume from the image, and an instance on it.
    ///
    /// # Panics
    /// When one is refused.
    pub async fn create(&self, name: &str, more: Value) -> Urn {
        let spec =
            json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny" });
        self.alice.put(&volume(name), &json!({ "spec": spec })).await.expect("a volume");
        let body = self.body(name, more);
        self.alice.put(&instance(name), &body).await.expect("an instance");
        instance(name)
    }

    /// The body of an instance on the boot volume of its name.
    pub fn body(&self, name: &str, more: Value) -> Value {
        let mut spec = json!({
            "skuRef": "skus/d2xs",
            "zone": "a",
            "bootVolume": { "deviceRef": format!("block-storages/{name}") },
        });
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            spec[key] = value;
        }
        json!({ "spec": spec })
    }

    /// Waits until it is active.
    pub async fn active(&self, urn: &Urn) {
        self.status(urn, "to be active", |status| status["state"] == "active").await;
    }

    /// Deletes it, and with it its boot volume, without waiting in between.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn delete(&self, name: &str) {
        self.alice.delete(&instance(name)).await.expect("accepted");
        self.alice.delete(&volume(name)).await.expect("accepted");
        for urn in [instance(name), volume(name)] {
            until_some(&format!("{urn} to be gone"), PATIENCE, || async {
                match self.alice.get(&urn).await {
                    Err(error) if error.status() == Some(404) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
    }

    /// uid of the one domain there is besides `known`.
    pub async fn new_domain(&self, known: &BTreeSet<String>) -> String {
        until_some("exactly one new domain", PATIENCE, || async {
            let domains = self.domains();
            let new: Vec<_> = domains.difference(known).cloned().collect();
            if let [one] = &new[..] { Ok(one.clone()) } else { Err(format!("{new:?}")) }
        })
        .await
    }

    /// UUIDs of all domains.
    ///
    /// # Panics
    /// When virsh does not answer.
    pub fn domains(&self) -> BTreeSet<String> {
        self.hypervisor.domains().expect("virsh answers").into_iter().collect()
    }

    /// Files of all volumes.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn volumes(&self) -> Vec<PathBuf> {
        let dir = std::fs::read_dir(self.agent.data_dir.join("volumes")).expect("its volumes");
        dir.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// Waits until a guest has said `text` on its console.
    pub async fn says(&self, uid: &str, text: &str) {
        until_some(&format!("the guest to say {text:?}"), PATIENCE, || async {
            let said = console(&self.agent, uid);
            if said.contains(text) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// SIGKILLs the agent.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_agent(&mut self) {
        self.daemon.take().expect("it runs").kill();
    }

    /// Starts the agent.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_agent(&mut self) {
        self.daemon = Some(self.agent.start().expect("it starts"));
    }

    /// Cuts the power of the host: agent, libvirtd and guests are gone at once.
    ///
    /// # Panics
    /// When something is left of it.
    pub fn cut_host_power(&mut self) {
        self.kill_agent();
        self.hypervisor.cut_power().expect("they end");
    }

    /// Boots the host, as another boot of its kernel, up to its agent.
    ///
    /// # Panics
    /// When something does not start.
    pub fn boot_host(&mut self) {
        let file = self.agent.data_dir.with_extension("boot-id");
        std::fs::write(&file, Uuid::now_v7().to_string()).expect("it is written");
        self.agent.environment.push(("REMPART_AGENT_BOOT_ID_FILE", file.display().to_string()));
        self.hypervisor.power_up().expect("it starts");
        self.start_agent();
    }

    /// How far the agent has got with the newest power generation of a guest, as its ledger has it.
    pub fn power_step(&self, uid: &str) -> Option<(u64, String)> {
        let path = self.agent.data_dir.join("ledger/power").join(format!("{uid}.json"));
        let text = std::fs::read_to_string(path).ok()?;
        let record: Value = serde_json::from_str(text.lines().nth(1)?).ok()?;
        Some((record["generation"].as_u64()?, record["step"].as_str()?.to_owned()))
    }

    /// How often a guest has booted its disk, as it has said itself.
    pub fn boots(&self, uid: &str) -> usize {
        console(&self.agent, uid).matches("tiny: boot ").count()
    }

    /// Whether the QEMU of a guest runs, whatever libvirt says.
    ///
    /// # Panics
    /// When /proc cannot be read.
    pub fn qemu_runs(&self, uid: &str) -> bool {
        std::fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            command.starts_with("/usr/bin/qemu-system") && command.contains(uid)
        })
    }
}
