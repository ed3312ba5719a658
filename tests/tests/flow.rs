//! Three replicas, a real guest, and a SIGKILL at a random moment of its way from PUT to running.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rempart_api::client::{Client, ClientError};
use rempart_tests::{Lab, console, instance, until_some, volume};
use serde_json::{Value, json};
use tokio::sync::Barrier;

/// A tenant who asks the next replica when one does not answer, or says that it cannot now.
struct Tenant {
    clients: Vec<Client>,
}

impl Tenant {
    /// Repeats `call` until it is answered for good. A repeated action may find its first try done: `done` says so.
    async fn insist<T, F, Fut>(&self, what: &str, done: u16, call: F) -> Option<T>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let turn = std::sync::atomic::AtomicUsize::new(0);
        until_some(what, Duration::from_secs(60), || {
            let number = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let attempt = call(self.clients[number % self.clients.len()].clone());
            async move {
                match attempt.await {
                    Ok(value) => Ok(Some(value)),
                    Err(error) if number > 0 && error.status() == Some(done) => Ok(None),
                    Err(error) if matches!(error.status(), None | Some(503)) => Err(error.to_string()),
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        })
        .await
    }

    async fn put(&self, urn: &rempart_api::Urn, body: &Value) {
        self.insist(&format!("PUT {urn}"), 0, |client| {
            let (urn, body) = (urn.clone(), body.clone());
            async move { client.put(&urn, &body).await }
        })
        .await;
    }

    async fn status(&self, name: &str, what: &str, good: impl Fn(&Value) -> bool) {
        until_some(&format!("{name} {what}"), Duration::from_secs(120), || async {
            let mut seen = String::new();
            for client in &self.clients {
                match client.get(&instance(name)).await {
                    Ok(view) if good(view.status.as_ref().unwrap_or(&Value::Null)) => return Ok(()),
                    Ok(view) => seen = format!("{:?}", view.status),
                    Err(error) => seen = error.to_string(),
                }
            }
            Err(seen)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_ends_well_whoever_is_killed() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").subsec_nanos();
    eprintln!("seed {seed}");
    let mut lab = Lab::open(3).await;
    let clients = (1..=3).map(|id| lab.cluster.client(id, "alice").expect("a client")).collect();
    let tenant = Tenant { clients };
    equal_first_puts_make_one_instance(&lab, &tenant).await;
    // A flow takes about two seconds: one kill in each part of it, from the first PUT to the guest coming on.
    for round in 0..4_u64 {
        let victim = usize::try_from((u64::from(seed) + round) % 3).expect("it is small") + 1;
        let after = Duration::from_millis(round * 500 + u64::from(seed) / 7 * (round + 1) % 500);
        eprintln!("round {round}: replica {victim} dies after {after:?}");
        one_flow(&mut lab, &tenant, &format!("flow-{round}"), victim, after).await;
    }
}

/// Ten at once, over all replicas, and none of them the first by any right.
async fn equal_first_puts_make_one_instance(lab: &Lab, tenant: &Tenant) {
    let before = lab.domains();
    let spec = json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny" });
    tenant.put(&volume("ten"), &json!({ "spec": spec })).await;
    let body = lab.body("ten", json!({}));
    let start = Arc::new(Barrier::new(10));
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let client = tenant.clients[number % tenant.clients.len()].clone();
            let (body, start) = (body.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                client.put(&instance("ten"), &body).await.expect("accepted").0
            })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        created += usize::from(task.await.expect("it ends"));
    }
    assert_eq!(created, 1, "one 201, nine 200");
    tenant.status("ten", "to be active", |status| status["state"] == "active").await;
    for client in &tenant.clients {
        let view = client.get(&instance("ten")).await.expect("it is there");
        assert_eq!(view.metadata.resource_version, Some(10));
    }
    let uid = lab.new_domain(&before).await;
    let volumes = lab.volumes();
    assert_eq!(volumes.len(), 1, "one disk: {volumes:?}");
    let xml = lab.hypervisor.virsh(&["dumpxml", &uid]).expect("it is defined");
    assert!(xml.contains(volumes[0].to_str().expect("a path")), "its own disk: {xml}");
    lab.delete("ten").await;
    assert_eq!(lab.domains(), before, "one uid, and it is gone");
}

async fn one_flow(lab: &mut Lab, tenant: &Tenant, name: &str, victim: usize, after: Duration) {
    let before = lab.domains();
    let spec = json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny" });
    let body = lab.body(name, json!({}));
    let flow = async {
        tenant.put(&volume(name), &json!({ "spec": spec })).await;
        tenant.put(&instance(name), &body).await;
        tenant.status(name, "to be active", |status| status["state"] == "active").await;
        // Repeated, it may find the first try accepted: then the instance is on or updating already.
        tenant.insist("start", 412, |client| async move { client.act(&instance(name), "start").await }).await;
        tenant
            .status(name, "to be on", |status| status["powerState"] == "on" && status["state"] == "active")
            .await;
    };
    // The moment of the kill is what varies: not a wait for a fact.
    let cluster = &mut lab.cluster;
    let fate = async {
        tokio::time::sleep(after).await;
        cluster.kill(victim);
    };
    tokio::join!(flow, fate);
    let uid = lab.new_domain(&before).await;
    assert_eq!(lab.volumes().len(), 1, "one disk: {:?}", lab.volumes());
    lab.says(&uid, "tiny: ready").await;
    let said = console(&lab.agent, &uid);
    assert_eq!(said.matches("tiny: boot ").count(), 1, "started once: {said}");
    lab.cluster.start_controller(victim).expect("it starts");
    lab.cluster.ready(victim).await.expect("it is ready");
    lab.delete(name).await;
}
