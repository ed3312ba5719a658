//! Controllers.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rempart_api::client::Client;
use rempart_api::cluster::{Replica, ReplicaRole};

use crate::daemon::{Daemon, binary};
use crate::wait::until_some;

/// Where a cluster is, and at which ports.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Everything of the cluster is below it.
    pub dir: PathBuf,
    /// REST and internal port of each replica, by id from 1.
    pub ports: Vec<(u16, u16)>,
    /// How many of them found the cluster; the others may join it later.
    pub founders: usize,
    /// The first of them: 1, or who was restored from a backup.
    pub first: usize,
    /// Program of the controllers, where it is not this workspace's.
    pub program: Option<PathBuf>,
}

impl Layout {
    /// `replicas` replicas in `dir`, at ports that are free now.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(dir: &Path, replicas: usize) -> anyhow::Result<Layout> {
        Layout::with_spares(dir, replicas, 0)
    }

    /// As [`Layout::new`], with ports for so many more that join later.
    ///
    /// # Errors
    /// When no port is free.
    pub fn with_spares(dir: &Path, founders: usize, spares: usize) -> anyhow::Result<Layout> {
        let replicas = founders + spares;
        let ports = (0..replicas).map(|_| Ok((free_port()?, free_port()?))).collect::<anyhow::Result<_>>()?;
        Ok(Layout { dir: dir.to_owned(), ports, founders, first: 1, program: None })
    }

    fn controller_program(&self) -> anyhow::Result<PathBuf> {
        self.program.clone().map_or_else(|| binary("rempart-controller"), Ok)
    }

    /// Directory with the first controller's keys, which `init` or `restore` makes.
    pub fn cluster_dir(&self) -> PathBuf {
        self.identity_dir(self.first)
    }

    /// From now on controller `id` is the first, and the only one that nobody has to take in.
    pub fn begin_with(&mut self, id: usize) {
        (self.first, self.founders) = (id, 1);
    }

    /// Directory with the keys of a controller.
    pub fn identity_dir(&self, id: usize) -> PathBuf {
        self.dir.join(format!("k{id}"))
    }

    /// Base URL of a replica.
    pub fn url(&self, id: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[id - 1].0)
    }

    /// Internal listeners, for agents.
    pub fn internal_addresses(&self) -> String {
        let addresses: Vec<String> = self.ports.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        addresses.join(",")
    }

    /// Makes the identity of the cluster if there is none.
    ///
    /// # Errors
    /// When `init` fails.
    pub fn init(&self) -> anyhow::Result<()> {
        if self.cluster_dir().join("cluster.json").exists() {
            return Ok(());
        }
        let output = Command::new(self.controller_program()?)
            .args(["init", "--region", "local", "--zones", "a,b", "--dir"])
            .arg(self.cluster_dir())
            .output()?;
        if !output.status.success() {
            bail!("rempart-controller init failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// A token for the REST API.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, subject: &str) -> anyhow::Result<String> {
        self.mint(&["token", "--lifetime-seconds", "86400", "--subject", subject])
    }

    /// A join token; `arguments` say for whom: `["--host", "h1"]`, `["--controller", "2"]`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn join_token(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let peers = self.peers();
        self.mint(&[&["token", "join", "--peers", &peers], arguments].concat())
    }

    fn mint(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.controller_program()?);
        let output = command.args(arguments).arg("--cluster-dir").arg(self.cluster_dir()).output()?;
        if !output.status.success() {
            bail!("rempart-controller token failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// All replicas that found the cluster: ID=HOST:PORT.
    pub fn peers(&self) -> String {
        let peers: Vec<String> = (self.first..self.first + self.founders)
            .map(|id| format!("{id}={}", self.internal_address(id)))
            .collect();
        peers.join(",")
    }

    /// Where a replica listens for its peers.
    pub fn internal_address(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.ports[id - 1].1)
    }

    /// Makes a machine controller `id` with a token of the first, which runs, if it is none yet.
    ///
    /// # Errors
    /// When it is not taken in.
    pub fn join(&self, id: usize) -> anyhow::Result<()> {
        if self.identity_dir(id).exists() {
            return Ok(());
        }
        let mut command = Command::new(self.controller_program()?);
        command.arg("join").arg("--dir").arg(self.identity_dir(id));
        command.env("REMPART_JOIN_TOKEN", self.join_token(&["--controller", &id.to_string()])?);
        let output = command.output()?;
        if !output.status.success() {
            bail!("rempart-controller join failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The command that runs a replica. All but the first join before, with the help of the first.
    ///
    /// # Errors
    /// When the binary is not built, or the first replica does not run when another one is to join.
    pub fn controller_command(&self, id: usize) -> anyhow::Result<Command> {
        let (http, internal) = self.ports[id - 1];
        self.join(id)?;
        let mut command = Command::new(self.controller_program()?);
        command.arg("run").arg("--cluster-dir").arg(self.identity_dir(id));
        let mut peers = self.peers();
        if id >= self.first + self.founders {
            peers = format!("{peers},{id}={}", self.internal_address(id));
        }
        command.arg("--replica-id").arg(id.to_string()).arg("--peers").arg(peers);
        command.arg("--data-dir").arg(self.data_dir(id));
        command.arg("--http-listen").arg(format!("127.0.0.1:{http}"));
        command.arg("--internal-listen").arg(format!("127.0.0.1:{internal}"));
        // Many run side by side; where this one's are is in its log.
        command.args(["--metrics-listen", "127.0.0.1:0"]);
        // Tests ask as often as they can; the one about the limit sets it.
        command.env("REMPART_REQUESTS_PER_SECOND", "0");
        // Whatever is tested, replicas that differ are noticed.
        command.env("REMPART_COMPARE_SECONDS", "1");
        // What a failing test is understood by.
        command.env("REMPART_LOG", "info,rempart_controller=debug,openraft=error,sqlx=warn");
        Ok(command)
    }

    /// Where a replica keeps its log and database.
    pub fn data_dir(&self, id: usize) -> PathBuf {
        self.dir.join(format!("c{id}"))
    }

    /// Log of a replica.
    pub fn log(&self, id: usize) -> PathBuf {
        self.dir.join(format!("c{id}.log"))
    }
}

/// Ports below those that the kernel gives to whoever asks for any (`ip_local_port_range`, from 32768 on): what nobody listens at
/// yet is taken by no connection and by no other listener meanwhile.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port that is free now, and that this process has not given before.
fn free_port() -> anyhow::Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.len();
    // Tests that run side by side begin far from one another.
    let first = std::process::id() as usize * 127 % count;
    for _ in 0..count {
        let offset = (first + usize::from(GIVEN.fetch_add(1, Ordering::Relaxed))) % count;
        let port = PORTS.start + u16::try_from(offset)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end)
}

/// A running replica.
pub struct Controller {
    /// Its id, from 1.
    pub id: usize,
    /// Its process.
    pub daemon: Daemon,
}

/// A cluster whose processes end with it.
pub struct Cluster {
    /// Where it is.
    pub layout: Layout,
    /// Those that run.
    pub controllers: Vec<Controller>,
    /// Settings of every controller started from now on, as environment variables.
    pub environment: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Starts `replicas` replicas in `dir` and waits until all are ready.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(dir: &Path, replicas: usize) -> anyhow::Result<Cluster> {
        Cluster::start_with(dir, replicas, &[]).await
    }

    /// As [`Cluster::start`], with settings of its own.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start_with(
        dir: &Path,
        replicas: usize,
        environment: &[(&'static str, &str)],
    ) -> anyhow::Result<Cluster> {
        Cluster::start_layout(Layout::new(dir, replicas)?, environment).await
    }

    /// As [`Cluster::start_with`], laid out already. Spare replicas are not started.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start_layout(
        layout: Layout,
        environment: &[(&'static str, &str)],
    ) -> anyhow::Result<Cluster> {
        let replicas = layout.founders;
        fs::create_dir_all(&layout.dir)?;
        layout.init()?;
        let mut cluster = Cluster { layout, controllers: Vec::new(), environment: Vec::new() };
        cluster.environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        for id in 1..=replicas {
            cluster.start_controller(id)?;
        }
        for id in 1..=replicas {
            cluster.ready(id).await?;
        }
        Ok(cluster)
    }

    /// Starts replica `id`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_controller(&mut self, id: usize) -> anyhow::Result<()> {
        let mut command = self.layout.controller_command(id)?;
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let daemon = Daemon::spawn(&format!("controller {id}"), command, &self.layout.log(id))?;
        self.controllers.push(Controller { id, daemon });
        Ok(())
    }

    /// The process of replica `id`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn running(&self, id: usize) -> &Daemon {
        &self.controllers.iter().find(|controller| controller.id == id).expect("it runs").daemon
    }

    /// Takes replica `id` out of the running ones.
    ///
    /// # Panics
    /// When it does not run.
    pub fn take(&mut self, id: usize) -> Daemon {
        let position = self.controllers.iter().position(|controller| controller.id == id).expect("it runs");
        self.controllers.remove(position).daemon
    }

    /// SIGKILLs replica `id`; its Postgres goes with it.
    pub fn kill(&mut self, id: usize) {
        self.take(id).kill();
    }

    /// Waits until replica `id` says that it is ready.
    ///
    /// # Errors
    /// When its address is none.
    pub async fn ready(&mut self, id: usize) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.layout.url(id));
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build()?;
        until_some(&format!("controller {id} to be ready"), Duration::from_secs(90), || {
            let request = http.get(&url).send();
            let exited =
                self.controllers.iter_mut().find(|one| one.id == id).and_then(|one| one.daemon.exited());
            async move {
                assert!(exited.is_none(), "controller {id} ended: {exited:?}");
                match request.await {
                    Ok(answer) if answer.status().is_success() => Ok(()),
                    Ok(answer) => Err(answer.text().await.unwrap_or_default()),
                    Err(error) => Err(error.to_string()),
                }
            }
        })
        .await;
        Ok(())
    }

    /// The replica that leads, as one of those that run says; `operators` are clients of replicas 1, 2, ...
    ///
    /// # Panics
    /// When there is none for 30 s.
    pub async fn leader(&self, operators: &[Client]) -> usize {
        until_some("a leader", Duration::from_secs(30), || async {
            let mut said = String::new();
            for Controller { id, .. } in &self.controllers {
                match operators[id - 1].replicas().await {
                    Ok(list) => {
                        let leads = |one: &&Replica| one.status.role == ReplicaRole::Leader;
                        match list.items.iter().find(leads).map(|leader| usize::try_from(leader.id)) {
                            Some(Ok(id)) if self.controllers.iter().any(|one| one.id == id) => return Ok(id),
                            other => said = format!("{other:?}"),
                        }
                    }
                    Err(error) => said = error.to_string(),
                }
            }
            Err(said)
        })
        .await
    }

    /// A client of replica `id` as `subject`.
    ///
    /// # Errors
    /// When no token can be had.
    pub fn client(&self, id: usize, subject: &str) -> anyhow::Result<Client> {
        Client::new(&self.layout.url(id), &self.layout.token(subject)?).context("making a client")
    }
}
