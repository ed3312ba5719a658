//! A control plane with its fleet, and requests to it.

use std::sync::Arc;
use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, SimulatedFleet, fleet_directory, instance, volume};
use serde_json::json;
use tempfile::TempDir;

use crate::cpu::{Clock, Taken};
use crate::rest::request;

/// Hosts in one process: each has two or three connections, and descriptors are bounded.
const HOSTS_IN_A_PROCESS: usize = 5000;
/// How long what a plane takes at rest is looked at.
const REST: Duration = Duration::from_secs(2);

/// Controllers, hosts, and a tenant.
pub(crate) struct Plane {
    pub(crate) cluster: Cluster,
    pub(crate) fleets: Vec<SimulatedFleet>,
    /// An operator's clients of replicas 1, 2, ...
    pub(crate) operators: Vec<Client>,
    pub(crate) requests: Arc<Requests>,
    memory: TempDir,
    _dir: TempDir,
}

/// What alice sends.
pub(crate) struct Requests {
    token: String,
    /// Addresses of the replicas.
    pub(crate) addresses: Vec<String>,
    instances: String,
    volumes: String,
    workspaces: String,
}

/// CPU that is taken while nothing is asked, in cores.
#[derive(Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) controllers: f64,
    pub(crate) postgres: f64,
    pub(crate) fleet: f64,
}

impl Plane {
    /// Controllers (`BENCH_LOG` is what they log) without a host, and tenant `acme` with workspace `w`, without quotas.
    pub(crate) async fn open(replicas: usize) -> Plane {
        let dir = tempfile::Builder::new().prefix("rb").tempdir_in("/tmp").expect("a temporary directory");
        let log = std::env::var("BENCH_LOG").unwrap_or_else(|_| "warn".to_owned());
        let settings = [
            ("REMPART_LOG", log.as_str()),
            ("REMPART_HTTP_CONNECTIONS", "16000"),
            ("REMPART_COMPARE_SECONDS", "60"),
        ];
        let cluster =
            Cluster::start_with(&dir.path().join("c"), replicas, &settings).await.expect("a cluster");
        let operators: Vec<Client> =
            (1..=replicas).map(|id| cluster.client(id, "operator").expect("a client")).collect();
        let tenant = json!({ "spec": { "owners": ["alice"] } });
        operators[0].put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
        let alice = cluster.client(1, "alice").expect("a client");
        alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
        let path = |urn: &Urn| {
            alice.url(urn).trim_start_matches(&cluster.layout.url(1)).trim_end_matches("/x").to_owned()
        };
        let requests = Requests {
            token: cluster.layout.token("alice").expect("a token"),
            addresses: (1..=replicas)
                .map(|id| cluster.layout.url(id).trim_start_matches("http://").to_owned())
                .collect(),
            instances: path(&instance("x")),
            volumes: path(&volume("x")),
            workspaces: path(&Urn::tenant(Kind::Workspace, "acme", "x")),
        };
        let requests = Arc::new(requests);
        Plane { cluster, fleets: Vec::new(), operators, requests, memory: fleet_directory(), _dir: dir }
    }

    /// How many hosts there are.
    pub(crate) fn hosts(&self) -> usize {
        self.fleets.iter().map(|fleet| fleet.hosts).sum()
    }

    pub(crate) fn replicas(&self) -> usize {
        self.cluster.layout.ports.len()
    }

    /// "3 replicas, 10 hosts"
    pub(crate) fn size(&self) -> String {
        format!("{} replicas, {} hosts", self.replicas(), self.hosts())
    }

    /// How far the first replica is in the log.
    pub(crate) async fn applied_index(&self) -> u64 {
        let list = self.operators[0].replicas().await.expect("a list of replicas");
        let first = list.items.iter().find(|replica| replica.id == 1).expect("the first");
        first.status.own.as_ref().and_then(|own| own.applied_index).expect("it says how far it is")
    }

    /// Lets hosts join until there are so many; returns how long that took.
    pub(crate) async fn grow_to(&mut self, hosts: usize) -> Duration {
        let leader = self.cluster.leader(&self.operators).await;
        // Who is asked first is a matter of chance in life, and of descriptors here.
        let order = (leader..=self.replicas()).chain(1..leader);
        let addresses: Vec<String> = order.map(|id| self.cluster.layout.internal_address(id)).collect();
        let addresses = addresses.join(",");
        let mut took = Duration::ZERO;
        while self.hosts() < hosts {
            let there = self.hosts();
            let some = there..hosts.min(there + HOSTS_IN_A_PROCESS);
            let dir = self.memory.path().join(self.fleets.len().to_string());
            let layout = &self.cluster.layout;
            let fleet = SimulatedFleet::start(&dir, layout, some, &addresses, &[]);
            let fleet = fleet.await.expect("a fleet");
            took += fleet.joined_in;
            self.fleets.push(fleet);
        }
        self.in_touch(None).await;
        took
    }

    /// Waits until every host has a session, with another controller than `not_with`.
    pub(crate) async fn in_touch(&mut self, not_with: Option<&str>) {
        let begin = std::time::Instant::now();
        let hosts = self.hosts();
        loop {
            let mut open = 0;
            for fleet in &mut self.fleets {
                let sessions = fleet.sessions().await.expect("it runs");
                open += sessions
                    .iter()
                    .filter(|(address, _)| Some(address.as_str()) != not_with)
                    .map(|(_, count)| count)
                    .sum::<usize>();
            }
            if open == hosts {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(300), "{open} of {hosts} sessions after 300 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn roots(&self) -> Vec<u32> {
        self.cluster.controllers.iter().map(|controller| controller.daemon.pid()).collect()
    }

    /// Processes of the fleet.
    pub(crate) fn fleet_pids(&self) -> Vec<u32> {
        self.fleets.iter().map(SimulatedFleet::pid).collect()
    }

    /// A clock of all of it.
    pub(crate) fn clock(&self) -> Clock {
        Clock::start_with(&self.roots(), &self.fleet_pids())
    }

    /// What it takes at rest, over two seconds.
    pub(crate) async fn idle(&self) -> Idle {
        let clock = self.clock();
        clock.settled().await;
        let clock = self.clock();
        tokio::time::sleep(REST).await;
        Idle::of(&clock.stop())
    }

    /// Ends it.
    pub(crate) fn close(self) {
        for fleet in self.fleets {
            fleet.stop().expect("it ends well");
        }
        drop(self.cluster);
    }
}

impl Idle {
    pub(crate) fn of(taken: &Taken) -> Idle {
        let cores = |ms: u64| ms as f64 / 1000.0 / taken.lasted.as_secs_f64();
        Idle {
            controllers: cores(taken.controllers_ms),
            postgres: cores(taken.postgres_ms),
            fleet: cores(taken.fleet_ms),
        }
    }

    /// CPU of each of `count`, in microseconds: of controllers, Postgres and fleet, without what they take at rest.
    pub(crate) fn each_us(&self, taken: &Taken, count: usize) -> [f64; 3] {
        let seconds = taken.lasted.as_secs_f64();
        let each = |ms: u64, idle: f64| (ms as f64 * 1000.0 - idle * seconds * 1e6).max(0.0) / count as f64;
        [
            each(taken.controllers_ms, self.controllers),
            each(taken.postgres_ms, self.postgres),
            each(taken.fleet_ms, self.fleet),
        ]
    }
}

impl Requests {
    /// The replica that client `number` asks.
    pub(crate) fn address(&self, number: usize) -> &str {
        &self.addresses[number % self.addresses.len()]
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        request(method, path, &self.token, body)
    }

    /// A volume of its own for each instance, of its name.
    pub(crate) fn put_volume(&self, name: &str) -> Vec<u8> {
        let body = r#"{"spec":{"sizeGB":1,"skuRef":"skus/le500"}}"#;
        self.send("PUT", &format!("{}/{name}", self.volumes), body)
    }

    pub(crate) fn delete_volume(&self, name: &str) -> Vec<u8> {
        self.send("DELETE", &format!("{}/{name}", self.volumes), "")
    }

    pub(crate) fn get_volume(&self, name: &str) -> Vec<u8> {
        self.send("GET", &format!("{}/{name}", self.volumes), "")
    }

    pub(crate) fn list_volumes(&self) -> Vec<u8> {
        self.send("GET", &format!("{}?limit=100", self.volumes), "")
    }

    pub(crate) fn put_instance(&self, name: &str) -> Vec<u8> {
        let body = format!(
            r#"{{"spec":{{"skuRef":"skus/d2xs","zone":"a","bootVolume":{{"deviceRef":"block-storages/{name}"}}}}}}"#
        );
        self.send("PUT", &format!("{}/{name}", self.instances), &body)
    }

    pub(crate) fn get_instance(&self, name: &str) -> Vec<u8> {
        self.send("GET", &format!("{}/{name}", self.instances), "")
    }

    pub(crate) fn start_instance(&self, name: &str) -> Vec<u8> {
        self.send("POST", &format!("{}/{name}/start", self.instances), "")
    }

    pub(crate) fn delete_instance(&self, name: &str) -> Vec<u8> {
        self.send("DELETE", &format!("{}/{name}", self.instances), "")
    }

    pub(crate) fn put_workspace(&self, name: &str) -> Vec<u8> {
        self.send("PUT", &format!("{}/{name}", self.workspaces), "{}")
    }
}
