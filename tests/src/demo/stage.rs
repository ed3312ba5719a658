//! What has to run before anything can be shown: controllers, hypervisors, agents.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Agent, Hypervisor, Layout, until_some, write_secret};

use crate::processes;
use crate::screen::{Screen, say};

/// Names of the hosts.
pub(crate) const HOSTS: [&str; 2] = ["host-1", "host-2"];

/// All of it.
pub(crate) struct Stage {
    pub(crate) layout: Layout,
    /// Where each host's libvirt is reached.
    pub(crate) libvirt_uris: Vec<String>,
}

/// Free ports, the usual ones where nobody has them.
fn layout(dir: &Path) -> anyhow::Result<Layout> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let usual: Vec<(u16, u16)> = (1..=3).map(|id| (8080 + id, 7080 + id)).collect();
    if usual.iter().all(|(http, internal)| free(*http) && free(*internal)) {
        return Ok(Layout { dir: dir.to_owned(), ports: usual });
    }
    Layout::new(dir, 3)
}

/// Starts everything and waits until both hosts can take guests.
///
/// # Errors
/// When something does not start; its log is named.
pub(crate) async fn set(dir: &Path, screen: &Screen) -> anyhow::Result<Stage> {
    let layout = layout(dir)?;
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
        let pid = processes::start(dir, &format!("c{id}"), layout.controller_command(id)?)?;
        say(&format!(
            "  controller {id}   {}   pid {pid}, its own Postgres, log {}/c{id}.log",
            layout.url(id),
            dir.display()
        ));
    }
    let operator = Client::new(&layout.url(1), &token(dir, &layout, "operator")?)?;
    let region = Urn::global(Kind::Region, "local");
    until_some(
        "a leader; the controllers' logs may say why there is none",
        Duration::from_secs(60),
        || async { operator.get(&region).await.map_err(|error| error.to_string()) },
    )
    .await;
    screen.done("the controllers elected a leader and founded region 'local'");
    let mut libvirt_uris = Vec::new();
    for (name, hypervisor) in HOSTS.iter().zip(hypervisors) {
        let started = hypervisor.join().ok().context("starting a hypervisor ended in a panic")??;
        // Kept for later sessions: `down` ends it, not the end of this process.
        let hypervisor = std::mem::ManuallyDrop::new(started);
        let agent = Agent::new(dir, name, &layout, &hypervisor.uri())?;
        let pid = processes::start(dir, name, agent.command()?)?;
        say(&format!(
            "  {name}         agent pid {pid}, log {}/{name}.log, {}",
            dir.display(),
            hypervisor.uri()
        ));
        libvirt_uris.push(hypervisor.uri());
    }
    for name in HOSTS {
        let host = Urn::global(Kind::Host, name);
        until_some(&format!("{name} to join; see its log"), Duration::from_secs(60), || async {
            let view = operator.get(&host).await.map_err(|error| error.to_string())?;
            let status = view.status.unwrap_or_default();
            if status["state"] == "active" && status["reachable"] == true {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
    }
    screen.done("both hosts have joined");
    Ok(Stage { layout, libvirt_uris })
}

fn hypervisor_dir(host: &str) -> PathBuf {
    PathBuf::from(host.replace("host-", "hv"))
}

/// A token for the REST API, kept in a file that is its owner's alone.
///
/// # Errors
/// When it cannot be signed or written.
pub(crate) fn token(dir: &Path, layout: &Layout, subject: &str) -> anyhow::Result<String> {
    let token = layout.token(subject)?;
    write_secret(&dir.join(format!("{subject}.token")), &token)?;
    Ok(token)
}
