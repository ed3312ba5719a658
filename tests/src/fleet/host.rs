//! One host: an agent as `rempart-agent` puts it together, over what is simulated.
//!
//! Absent beside the real one: metrics, and the watch over serial logs, which no simulated guest writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rempart_agent::console::Consoles;
use rempart_agent::disk::image::ImageStore;
use rempart_agent::disk::simulated::SimulatedDisks;
use rempart_agent::execute::{Executor, SharedLedger};
use rempart_agent::identity::{self, Controllers, Token};
use rempart_agent::layout::{DataDir, DataDirLock};
use rempart_agent::ledger::Ledger;
use rempart_agent::reconcile::Core;
use rempart_agent::session::introduction::Introduction;
use rempart_agent::session::{self, Context};
use rempart_agent::stop::Stop;
use rempart_agent::vm::simulated::{Behaviour, Simulated};
use rempart_agent::world::Host;
use rempart_proto::agent::v1::Capacity;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::crowd::{Crowd, Member};

/// As long as an agent keeps images by default; none come here.
const IMAGE_GRACE: Duration = Duration::from_secs(3600);

/// What all hosts have in common.
pub(crate) struct Settings {
    pub(crate) controllers: Vec<String>,
    pub(crate) dir: PathBuf,
    pub(crate) zone: String,
    pub(crate) capacity: Capacity,
    pub(crate) boot_delay: Duration,
    pub(crate) look_every: Duration,
    pub(crate) joins: Semaphore,
    pub(crate) stop: Stop,
    pub(crate) crowd: Arc<Crowd>,
}

impl Settings {
    /// Proof that no other process has these hosts. One for all of them: ten thousand locks are ten thousand descriptors.
    pub(crate) fn lock(&self) -> anyhow::Result<DataDirLock> {
        Ok(DataDir::new(self.dir.join("all")).prepare()?)
    }
}

/// A host whose agent runs.
pub(crate) struct Running {
    core: JoinHandle<()>,
    dialling: JoinHandle<()>,
}

impl Running {
    /// Returns once it has ended, as it was told to.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        self.dialling.await.context("an agent's session")?;
        self.core.await.context("an agent's core")
    }
}

/// Joins and begins to dial.
pub(crate) async fn start(settings: Arc<Settings>, name: String, token: String) -> anyhow::Result<Running> {
    // Never closed.
    let _turn = settings.joins.acquire().await?;
    let data = DataDir::new(settings.dir.join(&name));
    let prepared = data.clone();
    let ledger = tokio::task::spawn_blocking(move || -> anyhow::Result<Ledger> {
        // Its lock is the fleet's: see `Settings::lock`.
        drop(prepared.prepare()?);
        prepared.sweep(&prepared.images_dir())?;
        Ok(Ledger::open(&prepared.ledger_dir())?)
    });
    let ledger = SharedLedger::new(ledger.await?.with_context(|| format!("host {name}"))?);
    let established = identity::establish(&data.identity_dir(), &name, Some(&Token::Text(token))).await;
    let identity = established.with_context(|| format!("host {name}"))?;

    let stop = settings.stop.clone();
    let controllers = Controllers::new(settings.controllers.clone(), identity.credentials.clone());
    tokio::spawn(identity::keep_certificate(identity, controllers.clone(), stop.clone()));
    tokio::spawn(settings.crowd.clone().follow(controllers.clone()));
    let images = ImageStore::new(data.images_dir(), data.image_records_dir());
    let disks = Arc::new(SimulatedDisks::new(data.clone(), images.clone()));
    let behaviour = Behaviour { boot_delay: settings.boot_delay, ..Behaviour::default() };
    let hypervisor = Arc::new(Simulated::on(disks.clone(), behaviour));
    settings.crowd.add(Member {
        hypervisor: hypervisor.clone(),
        disks: disks.clone(),
        ledger: ledger.clone(),
    });
    let consoles = Consoles::new(data.clone(), hypervisor.clone(), controllers.clone());
    // Guests are in this process's memory: where it starts anew, the host has booted anew.
    let boot_id = Uuid::new_v4().to_string();
    let executor = Executor {
        host: Host { boot_id: boot_id.clone(), data, images },
        hypervisor: hypervisor.clone(),
        disks,
        image_grace: IMAGE_GRACE,
        ledger: ledger.clone(),
    };
    let (core, bell, observations) = Core::new(executor, settings.look_every);
    let introduction = Arc::new(Introduction {
        host: name,
        zone: settings.zone.clone(),
        boot_id,
        capacity: settings.capacity,
        hypervisor,
        ledger: ledger.clone(),
    });
    let context = Context { introduction, ledger, bell, observations, consoles, stop: stop.clone() };
    Ok(Running {
        core: tokio::spawn(core.run(stop)),
        dialling: tokio::spawn(session::run(controllers, context)),
    })
}
