//! Hypervisor hosts with simulated agents, as honest as the real ones and as late as the network: they keep what they were told
//! last by stamp, epoch and generation, work on that, and say what they did.

use std::collections::{BTreeMap, BTreeSet};

use rempart_api::fleet::{HostReport, HypervisorHealth, Virtualization};
use rempart_model::{
    Command, DesiredInstance, DesiredObject, HostSeen, InstanceReport, ObjectReport, OffCause, ReportCommand,
    VolumeReport,
};
use uuid::Uuid;

use super::clients::{Desired, Question, Reply};
use super::ledger::Ledger;
use super::lots::Lots;
use super::network::{Content, Network, Packet, Place};

/// What a host has.
pub(super) const VCPUS: u32 = 2;
pub(super) const MEMORY_MIB: u64 = 5 << 10;
pub(super) const DISK_MIB: u64 = 8 << 10;

const ATTEMPT_MS: u64 = 1_500;

/// A guest as the hypervisor has it.
#[derive(Debug, Default)]
pub(super) struct Guest {
    pub(super) running: bool,
    /// Volumes that it holds open while it runs.
    pub(super) disks: Vec<Uuid>,
    /// Newest power generation executed.
    pub(super) executed: u64,
    ended: Option<OffCause>,
    /// The host was down since it was last started.
    rebooted: bool,
}

/// What an agent was told of one object.
struct Told {
    desired: DesiredObject,
    worked: bool,
}

/// One host.
pub(super) struct Host {
    pub(super) name: String,
    place: Place,
    lots: Lots,
    stamp: (u64, u64),
    told: BTreeMap<Uuid, Told>,
    pub(super) guests: BTreeMap<Uuid, Guest>,
    pub(super) volumes: BTreeSet<Uuid>,
    /// The newest generation of each object that it realised.
    pub(super) realised: BTreeMap<Uuid, u64>,
    is_known: bool,
    guess: u64,
    call: u64,
    waits_until_ms: Option<u64>,
    next_ms: u64,
    turn: u64,
}

impl Host {
    pub(super) fn new(place: Place, seed: u64, name: String) -> Host {
        Host {
            name,
            place,
            lots: Lots::of(seed, ("host", place)),
            stamp: (0, 0),
            told: BTreeMap::new(),
            guests: BTreeMap::new(),
            volumes: BTreeSet::new(),
            realised: BTreeMap::new(),
            is_known: false,
            guess: 1,
            call: 0,
            waits_until_ms: None,
            next_ms: 0,
            turn: 0,
        }
    }

    pub(super) fn live(&mut self, now_ms: u64, members: &[u64], network: &Network, ledger: &Ledger) {
        for packet in network.arrived(self.place) {
            if let Content::Told { call, reply } = packet.content {
                self.hear(packet.from, call, reply, ledger);
            }
        }
        if let Some(until_ms) = self.waits_until_ms {
            if now_ms < until_ms {
                return;
            }
            self.guess = self.lots.pick(members).copied().unwrap_or(1);
            self.waits_until_ms = None;
        }
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + self.lots.between(50, 400);
        let question = self.question(now_ms, ledger);
        if let Some(question) = question {
            self.call += 1;
            self.waits_until_ms = Some(now_ms + ATTEMPT_MS);
            let content = Content::Ask { call: self.call, question };
            network.send(Packet { from: self.place, to: self.guess, content });
        }
    }

    fn question(&mut self, now_ms: u64, ledger: &Ledger) -> Option<Question> {
        if !self.is_known {
            let seen = HostSeen {
                host: self.name.clone(),
                uid: Uuid::from_u64_pair(self.lots.draw(), self.lots.draw()),
                zone: "a".to_owned(),
                report: observed(),
                at: Some(rempart_api::Timestamp::from_unix_ms(
                    1_800_000_000_000 + i64::try_from(now_ms).unwrap_or_default(),
                )),
                key_sha256: None,
            };
            return Some(Question::Propose(Box::new(Command::HostSeen(Box::new(seen)))));
        }
        self.turn += 1;
        match self.turn % 3 {
            0 => Some(Question::Desired { host: self.name.clone() }),
            1 => {
                self.work(ledger);
                None
            }
            _ => {
                let objects = self.report();
                let report = ReportCommand { host: self.name.clone(), objects };
                (!report.objects.is_empty()).then_some(Question::Report(report))
            }
        }
    }

    fn hear(&mut self, from: u64, call: u64, reply: Reply, ledger: &Ledger) {
        // What is desired counts whenever it comes; the stamp says what is newer.
        if let Reply::Desired(desired) = &reply {
            self.accept(desired, ledger);
        }
        if call != self.call || self.waits_until_ms.is_none() {
            return;
        }
        match reply {
            Reply::NotLeader | Reply::Doubt => self.waits_until_ms = Some(0),
            Reply::Done(_) => {
                self.is_known = true;
                ledger.count("host heard");
                (self.guess, self.waits_until_ms) = (from, None);
            }
            Reply::Refused(_) | Reply::Index(_) | Reply::Read(_) | Reply::Ballot(_) | Reply::Desired(_) => {
                (self.guess, self.waits_until_ms) = (from, None);
            }
        }
    }

    /// As the agent's ledger: refused as a whole if the stamp is older, each object if its epoch or generation is.
    fn accept(&mut self, (stamp, desired): &Desired, ledger: &Ledger) {
        if *stamp < self.stamp {
            ledger.count("stale order refused");
            return;
        }
        self.stamp = *stamp;
        for new in desired {
            let (uid, epoch, generation) = identity(new);
            let known = self.told.get(&uid);
            if let Some(known) = known {
                let (_, old_epoch, old_generation) = identity(&known.desired);
                ledger.check(epoch >= old_epoch && generation >= old_generation, || {
                    let old = (old_epoch, old_generation);
                    format!("{uid} on {}: epoch and generation ran back from {old:?}", self.name)
                });
                if epoch < old_epoch || generation < old_generation || known.desired == *new {
                    continue;
                }
            }
            self.told.insert(uid, Told { desired: new.clone(), worked: false });
        }
    }

    /// Does everything it was told. Guests go before volumes, volumes come before guests.
    fn work(&mut self, ledger: &Ledger) {
        let mut told = std::mem::take(&mut self.told);
        for pass in ["guests go", "volumes", "guests come"] {
            for Told { desired, worked } in told.values_mut() {
                let (uid, _, generation) = identity(desired);
                match (&*desired, pass) {
                    (DesiredObject::Instance(instance), "guests go") if !instance.present => {
                        self.guests.remove(&uid);
                    }
                    (DesiredObject::Instance(instance), "guests come") if instance.present => {
                        self.run(instance, ledger);
                    }
                    (DesiredObject::Volume(volume), "volumes") if volume.present => {
                        self.volumes.insert(uid);
                    }
                    (DesiredObject::Volume(_), "volumes") => {
                        let used =
                            self.guests.values().any(|guest| guest.running && guest.disks.contains(&uid));
                        ledger.check(!used, || format!("the disk {uid} of a guest that runs is to go"));
                        self.volumes.remove(&uid);
                    }
                    _ => continue,
                }
                *worked = true;
                self.realised.insert(uid, generation);
            }
        }
        self.told = told;
    }

    fn run(&mut self, instance: &DesiredInstance, ledger: &Ledger) {
        let guest = self.guests.entry(instance.uid).or_default();
        guest.disks = instance.hardware.disks.iter().map(|disk| disk.volume).collect();
        if instance.power.generation > guest.executed {
            // At most once for each generation, by the ledger.
            ledger.count("power switched");
            let disks = std::mem::take(&mut guest.disks);
            let (running, executed) = (instance.power.on, instance.power.generation);
            *guest = Guest { running, executed, disks, ..Guest::default() };
        } else if instance.power.on && guest.rebooted {
            (guest.running, guest.rebooted) = (true, false);
        }
        let missing = guest.disks.iter().find(|disk| !self.volumes.contains(disk)).copied();
        if let Some(disk) = missing.filter(|_| guest.running) {
            ledger.violated(|| format!("a guest of {} runs without its disk {disk}", self.name));
        }
    }

    /// A guest ends by itself.
    pub(super) fn end_guest(&mut self, ledger: &Ledger) {
        let mut running: Vec<&mut Guest> = self.guests.values_mut().filter(|guest| guest.running).collect();
        let which = usize::try_from(self.lots.draw() % 8).unwrap_or_default();
        let count = running.len().max(1);
        if let Some(guest) = running.get_mut(which % count) {
            (guest.running, guest.ended) = (false, Some(OffCause::Guest));
            ledger.count("guest shut down");
        }
    }

    /// The power of the whole machine goes and comes back.
    pub(super) fn reboot(&mut self, ledger: &Ledger) {
        for guest in self.guests.values_mut() {
            let (executed, disks) = (guest.executed, std::mem::take(&mut guest.disks));
            *guest = Guest { running: false, executed, disks, ended: None, rebooted: true };
        }
        for told in self.told.values_mut() {
            told.worked = false;
        }
        ledger.count("host rebooted");
    }

    fn report(&self) -> Vec<ObjectReport> {
        let worked = self.told.iter().filter(|(_, told)| told.worked);
        worked
            .map(|(uid, told)| match &told.desired {
                DesiredObject::Volume(volume) => ObjectReport::Volume(VolumeReport {
                    uid: *uid,
                    generation: volume.generation,
                    epoch: volume.epoch,
                    present: self.volumes.contains(uid),
                    failure: None,
                    capture_failure: None,
                }),
                DesiredObject::Instance(instance) => ObjectReport::Instance(self.instance(instance)),
            })
            .collect()
    }

    fn instance(&self, desired: &DesiredInstance) -> InstanceReport {
        let guest = self.guests.get(&desired.uid);
        let running = guest.is_some_and(|guest| guest.running);
        let executed = guest.map_or(0, |guest| guest.executed);
        let settled = desired.power.on && executed == desired.power.generation;
        InstanceReport {
            uid: desired.uid,
            generation: desired.generation,
            epoch: desired.epoch,
            present: guest.is_some(),
            failure: None,
            running,
            power_generation: executed,
            off_cause: guest.and_then(|guest| guest.ended).filter(|_| settled && !running),
        }
    }
}

fn identity(desired: &DesiredObject) -> (Uuid, u64, u64) {
    match desired {
        DesiredObject::Volume(volume) => (volume.uid, volume.epoch, volume.generation),
        DesiredObject::Instance(instance) => (instance.uid, instance.epoch, instance.generation),
    }
}

fn observed() -> HostReport {
    HostReport {
        vcpus: VCPUS,
        memory_mib: MEMORY_MIB,
        disk_mib: DISK_MIB,
        virtualization: Virtualization { uefi: true, ..Virtualization::default() },
        hypervisor: HypervisorHealth { available: true, ..HypervisorHealth::default() },
        ..HostReport::default()
    }
}
