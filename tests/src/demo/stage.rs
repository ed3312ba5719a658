//! What has to run before anything can be shown: controllers, hypervisors, agents.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Agent, Hypervisor, Layout, awaited, write_secret};

use crate::processes;
use crate::screen::{Screen, say};

/// Names of the hosts.
pub(crate) const HOSTS: [&str; 2] = ["host-1", "host-2"];

/// Names of the processes that can be started again.
pub(crate) const NAMES: [&str; 5] = ["c1", "c2", "c3", HOSTS[0], HOSTS[1]];

const STAGE_FILE: &str = "stage.json";

const PATIENCE: Duration = Duration::from_secs(60);

/// All of it.
pub(crate) struct Stage {
    pub(crate) layout: Layout,
    /// Where each host's libvirt is reached.
    pub(crate) libvirt_uris: Vec<String>,
}

impl Stage {
    /// Kept for `start`, as the last thing that is done when all runs.
    fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec(&(&self.layout.ports, &self.libvirt_uris))?;
        Ok(fs::write(self.layout.dir.join(STAGE_FILE), text)?)
    }

    fn read(dir: &Path) -> anyhow::Result<Stage> {
        let incomplete =
            || format!("the demo in {} has not come far enough; begin anew: make demo", dir.display());
        let text = fs::read(dir.join(STAGE_FILE)).with_context(incomplete)?;
        let (ports, libvirt_uris): (Vec<(u16, u16)>, _) =
            serde_json::from_slice(&text).with_context(incomplete)?;
        Ok(Stage {
            layout: Layout { dir: dir.to_owned(), founders: ports.len(), ports, first: 1, program: None },
            libvirt_uris,
        })
    }
}

/// Free ports, those from `first` where nobody has them.
fn layout(dir: &Path, first: u16) -> anyhow::Result<Layout> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let usual: Vec<(u16, u16)> =
        (0..3).filter_map(|id| Some((first.checked_add(id)?, first.checked_sub(1000)? + id))).collect();
    if usual.len() == 3 && usual.iter().all(|(http, internal)| free(*http) && free(*internal)) {
        return Ok(Layout {
            dir: dir.to_owned(),
            founders: usual.len(),
            ports: usual,
            first: 1,
            program: None,
        });
    }
    Layout::new(dir, 3)
}

/// Waits for a fact as long as the processes that bring it about run.
async fn wait<T, F, Fut>(dir: &Path, what: &str, from: &[&str], fact: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    tokio::select! {
        found = awaited(what, PATIENCE, fact) => found.map_err(|late| anyhow!(late)),
        ended = processes::ended(dir, from) => Err(anyhow!("waiting for {what}: {ended}")),
    }
}

/// Starts everything and waits until both hosts can take guests.
///
/// # Errors
/// When something does not start; its log is named.
pub(crate) async fn set(dir: &Path, first_port: u16, screen: &Screen) -> anyhow::Result<Stage> {
    let layout = layout(dir, first_port)?;
    layout.init()?;
    // libvirt asks QEMU what it can do, which takes seconds: side by side, while the controllers start.
    let hypervisors: Vec<_> = HOSTS
        .iter()
        .map(|name| {
            let dir = dir.join(hypervisor_dir(name));
            std::thread::spawn(move || Hypervisor::start(&dir))
        })
        .collect();
    for id in 1..=layout.ports.len() {
        let name = NAMES[id - 1];
        let pid = processes::start(dir, name, layout.controller_command(id)?)?;
        say(&format!(
            "  controller {id}   {}   pid {pid}, its own Postgres, log {}",
            layout.url(id),
            processes::log(dir, name).display()
        ));
        if id == 1 {
            // The others join by it.
            let internal = ("127.0.0.1", layout.ports[0].1);
            wait(dir, "controller 1 to listen", &["c1"], || async move {
                tokio::net::TcpStream::connect(internal).await.map_err(|error| error.to_string())
            })
            .await?;
        }
    }
    let operator = Client::new(&layout.url(1), &token(dir, &layout, "operator")?)?;
    let region = Urn::global(Kind::Region, "local");
    wait(dir, "a leader; the controllers' logs may say why there is none", &NAMES[..3], || async {
        operator.get(&region).await.map_err(|error| error.to_string())
    })
    .await?;
    screen.done("the controllers elected a leader and founded region 'local'");
    let mut libvirt_uris = Vec::new();
    for (name, hypervisor) in HOSTS.iter().zip(hypervisors) {
        let started =
            hypervisor.join().map_err(|_| anyhow!("starting the hypervisor of {name} broke off"))??;
        // Kept for later sessions: `down` ends it, not the end of this process.
        let hypervisor = std::mem::ManuallyDrop::new(started);
        let agent = Agent::new(dir, name, &layout, &hypervisor.uri())?;
        let pid = processes::start(dir, name, agent.command()?)?;
        say(&format!(
            "  {name}         agent pid {pid}, log {}, {}",
            processes::log(dir, name).display(),
            hypervisor.uri()
        ));
        libvirt_uris.push(hypervisor.uri());
    }
    for name in HOSTS {
        joined(dir, &operator, name).await?;
    }
    screen.done("both hosts have joined");
    let stage = Stage { layout, libvirt_uris };
    stage.write()?;
    Ok(stage)
}

/// Waits until a host can take guests.
async fn joined(dir: &Path, operator: &Client, name: &str) -> anyhow::Result<()> {
    let host = Urn::global(Kind::Host, name);
    wait(dir, &format!("{name} to join; see its log"), &[name], || async {
        let view = operator.get(&host).await.map_err(|error| error.to_string())?;
        let status = view.status.unwrap_or_default();
        if status["state"] == "active" && status["reachable"] == true {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await
}

/// Starts a process again that `set` has started and somebody has ended, and waits until it does its work.
///
/// # Errors
/// When it does not start.
pub(crate) async fn start_again(dir: &Path, name: &str) -> anyhow::Result<()> {
    if let Some(pid) = processes::pid(dir, name) {
        say(&format!("{name} runs already (pid {pid})."));
        return Ok(());
    }
    let Stage { layout, libvirt_uris } = Stage::read(dir)?;
    let operator = |id: usize| -> anyhow::Result<Client> {
        Ok(Client::new(&layout.url(id), fs::read_to_string(token_file(dir, "operator"))?.trim())?)
    };
    if let Some(at) = HOSTS.iter().position(|host| *host == name) {
        let id = (1..=3).find(|id| processes::pid(dir, NAMES[id - 1]).is_some());
        let id =
            id.context("no controller runs, and an agent needs them: rempart-demo start c1, and then c2")?;
        let agent = Agent::new(dir, name, &layout, &libvirt_uris[at])?;
        let pid = processes::start(dir, name, agent.command()?)?;
        joined(dir, &operator(id)?, name).await?;
        say(&format!("The agent of {name} runs again (pid {pid})."));
        return Ok(());
    }
    let id = NAMES.iter().position(|one| *one == name).context("no such process")? + 1;
    let pid = processes::start(dir, name, layout.controller_command(id)?)?;
    if NAMES[..3].iter().filter(|one| processes::pid(dir, one).is_some()).count() < 2 {
        say(&format!("{name} runs again (pid {pid}). One of three decides nothing: start another one, too."));
        return Ok(());
    }
    let (region, operator) = (Urn::global(Kind::Region, "local"), operator(id)?);
    let what = "it to answer, for which two of the three controllers must run";
    wait(dir, what, &[name], || async { operator.get(&region).await.map_err(|error| error.to_string()) })
        .await?;
    say(&format!("{name} runs again (pid {pid}) and answers at {}.", layout.url(id)));
    Ok(())
}

fn hypervisor_dir(host: &str) -> PathBuf {
    PathBuf::from(host.replace("host-", "hv"))
}

fn token_file(dir: &Path, subject: &str) -> PathBuf {
    dir.join(format!("{subject}.token"))
}

/// A token for the REST API, kept in a file that is its owner's alone.
///
/// # Errors
/// When it cannot be signed or written.
pub(crate) fn token(dir: &Path, layout: &Layout, subject: &str) -> anyhow::Result<String> {
    let token = layout.token(subject)?;
    write_secret(&token_file(dir, subject), &token)?;
    Ok(token)
}
