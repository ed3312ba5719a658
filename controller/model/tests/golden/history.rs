//! A whole log and the State it leads to: what an entry means does not change either.
//!
//! A difference here is a change of meaning. If it is wanted, it is switched on by the cluster version, and a second
//! history is added beside this one (CONTRIBUTING.md, "Changing a log entry").

use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_api::{Kind, Urn};
use rempart_model::{
    ClusterVersion, Command, DeleteCommand, DesiredObject, ENVELOPE_FORMAT, Envelope, FillCommand, Founding,
    HostName, HostSeen, InstanceReport, ObjectReport, OffCause, PlaceCommand, PowerAction, PowerCommand,
    PutCommand, ReportCommand, Spec, State, UpgradeCommand, VolumeReport,
};
use serde_json::{Value, json};

use crate::entries::{failure, host_report, put};
use crate::{directory, may_write, time, uuid};

#[test]
fn the_same_log_leads_to_the_same_state_as_ever() {
    check("log.jsonl", "state.jsonl", Script::play);
}

/// What version 2 switched on of an operator's commands.
#[test]
fn the_same_log_of_a_region_leads_to_the_same_state_as_ever() {
    check("region-log.jsonl", "region-state.jsonl", Script::play_region);
}

fn check(log: &str, state: &str, play: fn() -> Vec<String>) {
    let (log, state) = (directory("history").join(log), directory("history").join(state));
    if may_write() && !log.exists() {
        std::fs::create_dir_all(directory("history")).unwrap();
        let entries = play();
        std::fs::write(&log, entries.join("\n") + "\n").unwrap();
        std::fs::write(&state, replay(&entries.join("\n")).join("\n") + "\n").unwrap();
    }
    let log = std::fs::read_to_string(log).expect("GOLDEN_WRITE_NEW=1 writes it");
    let expected = std::fs::read_to_string(&state).unwrap();
    for (number, (was, is)) in expected.lines().zip(replay(&log)).enumerate() {
        assert_eq!(was, is, "line {} of {}", number + 1, state.display());
    }
    assert_eq!(expected.lines().count(), replay(&log).len());
}

/// What a log answers, entry by entry, and the core and rows it leads to.
fn replay(log: &str) -> Vec<String> {
    let mut state = State::default();
    let mut lines = Vec::new();
    for (position, line) in log.lines().enumerate() {
        let envelope = Envelope::decode(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(envelope.encode()).unwrap(), line);
        let applied = state.apply(position as u64 + 1, &envelope);
        state.check();
        let changed: Vec<String> = applied.changes.iter().map(|change| change.urn.to_string()).collect();
        // Words may get better; classes and fields at fault are the meaning.
        let refused =
            applied.outcome.err().map(|refusal| json!({"class": refusal.class, "sources": refusal.sources}));
        let answer = applied.recorded.filter(|_| refused.is_none());
        let answer =
            json!({"answer": answer, "refused": refused, "changed": changed, "repeated": applied.repeated});
        lines.push(answer.to_string());
    }
    lines.push(serde_json::to_string(state.core()).unwrap());
    lines.extend(state.objects().map(|object| serde_json::to_string(&**object).unwrap()));
    lines
}

/// Plays the life that was written down.
#[derive(Default)]
struct Script {
    state: State,
    entries: Vec<String>,
}

impl Script {
    fn play() -> Vec<String> {
        let mut script = Script::default();
        script.found();
        script.build();
        script.run();
        script.end();
        script.entries
    }

    /// Zones that come, stay while something stands in them, and go.
    fn play_region() -> Vec<String> {
        let mut script = Script::default();
        let region = || Urn::global(Kind::Region, "eu-1");
        let zones = |zones: &[&str]| json!({"availableZones": zones, "providers": []});
        script.found();
        script.put(region(), zones(&["a", "b", "c"]));
        script.say(Command::Upgrade(UpgradeCommand { version: ClusterVersion(2) }));
        script.put(region(), zones(&["a", "b", "c"]));
        script.put(region(), zones(&["b", "c"]));
        script.put(region(), zones(&["a", "a"]));
        script.put(Urn::global(Kind::Region, "eu-2"), zones(&["a"]));
        script.put(region(), zones(&["c", "a"]));
        script.entries
    }

    fn say(&mut self, command: Command) {
        let number = self.entries.len() as i64 + 1;
        let envelope = Envelope {
            format: ENVELOPE_FORMAT,
            request_id: uuid(1000 + number as u128),
            actor: "alice@example.eu".into(),
            trace: None,
            time: time(number),
            command,
        };
        self.entries.push(String::from_utf8(envelope.encode()).unwrap());
        self.state.apply(number as u64, &envelope);
    }

    fn put_command(&self, urn: Urn, spec: Value) -> PutCommand {
        let spec = Spec::parse(urn.kind, &spec).unwrap();
        PutCommand { uid: uuid(2000 + self.entries.len() as u128), ..put(urn, spec) }
    }

    fn put(&mut self, urn: Urn, spec: Value) {
        let put = PutCommand { host: Some("h1".into()), ..self.put_command(urn, spec) };
        self.say(Command::Put(Box::new(put)));
    }

    fn delete(&mut self, urn: Urn) {
        self.say(Command::Delete(DeleteCommand { urn, if_unmodified_since: None }));
    }

    fn power(&mut self, action: PowerAction) {
        self.say(Command::Power(PowerCommand { urn: instance("vm"), if_unmodified_since: None, action }));
    }

    fn host_seen(&mut self, host: &str) {
        let mut report = host_report();
        report.hypervisor.available = true;
        let uid = uuid(3000 + self.entries.len() as u128);
        self.say(Command::HostSeen(Box::new(HostSeen {
            host: host.into(),
            uid,
            zone: "a".into(),
            report,
            at: None,
            key_sha256: None,
        })));
    }

    /// The host reports all it should have as done, but for what `change` makes of its words about instances.
    fn report(&mut self, change: impl Fn(&mut InstanceReport)) {
        let desired = self.state.on_host("h1").filter_map(|object| self.state.desired(object));
        let objects = desired
            .map(|desired| match desired {
                DesiredObject::Volume(volume) => ObjectReport::Volume(VolumeReport {
                    uid: volume.uid,
                    generation: volume.generation,
                    epoch: volume.epoch,
                    present: volume.present,
                    failure: None,
                    capture_failure: None,
                }),
                DesiredObject::Instance(instance) => {
                    let mut report = InstanceReport {
                        uid: instance.uid,
                        generation: instance.generation,
                        epoch: instance.epoch,
                        present: instance.present,
                        failure: None,
                        running: instance.power.on,
                        power_generation: instance.power.generation,
                        off_cause: None,
                    };
                    change(&mut report);
                    ObjectReport::Instance(report)
                }
            })
            .collect();
        self.say(Command::Report(ReportCommand { host: "h1".into(), objects }));
    }

    fn found(&mut self) {
        let catalogue = [
            (Urn::global(Kind::Tenant, "public"), json!({"owners": ["operator"]})),
            (Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"), json!({"vCPU": 1, "ram": 1})),
            (
                Urn::tenant(Kind::StorageSku, "public", "rd100"),
                json!({"iops": 100, "minVolumeSize": 1, "type": "local-durable"}),
            ),
            (Urn::tenant(Kind::NetworkSku, "public", "n1k"), json!({"bandwidth": 1000, "packets": 10_000})),
        ];
        let mut catalogue: Vec<_> =
            catalogue.into_iter().map(|(urn, spec)| self.put_command(urn, spec)).collect();
        for (number, put) in catalogue.iter_mut().enumerate() {
            put.uid = uuid(100 + number as u128);
        }
        let zones = vec!["a".into(), "b".into()];
        self.say(Command::Found(Founding { cluster_id: uuid(99), region: "eu-1".into(), zones, catalogue }));
        self.host_seen("h1");
        self.put(Urn::global(Kind::Tenant, "t1"), json!({"owners": ["alice@example.eu"]}));
        self.put(Urn::tenant(Kind::Workspace, "t1", "w1"), json!({}));
        self.put(Urn::tenant(Kind::Workspace, "t1", "w1"), json!({"note": "replaced"}));
    }

    fn build(&mut self) {
        let cidr = json!({"ipv4": "10.0.0.0/16"});
        let nested = |kind, name: &str| Urn::network(kind, "t1", "w1", "net", name);
        self.put(Urn::workspace(Kind::Network, "t1", "w1", "net"), json!({"cidr": cidr, "skuRef": "N1K"}));
        self.put(Urn::workspace(Kind::InternetGateway, "t1", "w1", "gate"), json!({}));
        let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gate"});
        self.put(nested(Kind::RouteTable, "rt"), json!({"routes": [route]}));
        let cidr = json!({"ipv4": "10.0.1.0/24"});
        self.put(nested(Kind::Subnet, "s"), json!({"cidr": cidr, "routeTableRef": "rt", "zone": "b"}));
        self.put(volume("upload"), json!({"sizeGB": 2, "skuRef": "rd100"}));
        let content = BlobSpec {
            sha256: "cd".repeat(32),
            format: BlobFormat::Raw,
            size_bytes: 9,
            virtual_size_bytes: 9,
        };
        self.say(Command::Fill(FillCommand { urn: volume("upload"), content }));
        let image =
            json!({"blockStorageRef": "workspaces/w1/block-storages/upload", "cpuArchitecture": "amd64"});
        self.put(Urn::tenant(Kind::Image, "t1", "debian"), image);
        self.put(
            volume("boot"),
            json!({"sizeGB": 1, "skuRef": "skus/RD100", "sourceImageRef": "images/debian"}),
        );
        self.put(volume("data"), json!({"sizeGB": 3, "skuRef": "rd100"}));
    }

    fn run(&mut self) {
        let spec = |more: Value| {
            let mut spec = json!({"skuRef": "DXS", "zone": "a", "bootVolume": {"deviceRef": "boot"}});
            for (field, value) in more.as_object().unwrap() {
                spec[field] = value.clone();
            }
            spec
        };
        self.put(instance("vm"), spec(json!({"zone": "z"})));
        self.put(instance("vm"), spec(json!({"userData": "#cloud-config"})));
        self.report(|report| (report.present, report.failure) = (false, Some(failure())));
        self.report(|_| {});
        self.power(PowerAction::Stop);
        self.power(PowerAction::Start);
        self.report(|_| {});
        self.put(instance("vm"), spec(json!({"dataVolumes": [{"deviceRef": "data", "type": "virtio"}]})));
        self.report(|report| report.generation -= 1);
        self.report(|_| {});
        self.power(PowerAction::Restart);
        self.report(|_| {});
        self.report(|report| (report.running, report.off_cause) = (false, Some(OffCause::Guest)));
        self.say(Command::HostUnreachable(HostName { host: "h1".into(), changed_index: None }));
        self.power(PowerAction::Start);
        self.host_seen("h1");
        self.report(|_| {});
        self.put(volume("boot2"), json!({"sizeGB": 1, "skuRef": "rd100"}));
        let waiting = json!({"skuRef": "dxs", "zone": "b", "bootVolume": {"deviceRef": "boot2"}});
        self.put(instance("waits"), waiting);
        self.say(Command::Place(PlaceCommand {
            uid: uuid(2000 + self.entries.len() as u128 - 1),
            host: "h1".into(),
        }));
    }

    fn end(&mut self) {
        self.delete(volume("data"));
        self.delete(instance("vm"));
        self.delete(volume("data"));
        self.delete(Urn::tenant(Kind::Workspace, "t1", "w1"));
        self.report(|_| {});
        self.report(|_| {});
        let again = Envelope::decode(self.entries[3].as_bytes()).unwrap();
        self.entries.push(String::from_utf8(again.encode()).unwrap());
    }
}

fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "t1", "w1", name)
}

fn instance(name: &str) -> Urn {
    Urn::workspace(Kind::Instance, "t1", "w1", name)
}
