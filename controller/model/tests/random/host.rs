//! A hypervisor host as honest as the real agent and as late as the network: it keeps what it was told, works on that,
//! and says what it did.

use std::collections::{BTreeMap, BTreeSet};

use rempart_model::{
    DesiredInstance, DesiredObject, Failure, InstanceReport, ObjectReport, OffCause, State, Thing, ThingSort,
    VolumeReport,
};
use uuid::Uuid;

/// A guest as the hypervisor has it.
#[derive(Debug, Default)]
struct Guest {
    running: bool,
    /// Newest power generation executed.
    executed: u64,
    /// It ended by itself.
    ended: Option<OffCause>,
    /// The host was down since it was last started.
    rebooted: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SimulatedHost {
    /// What it was told last, by uid, and whether it has worked on that.
    ledger: BTreeMap<Uuid, (DesiredObject, bool)>,
    guests: BTreeMap<Uuid, Guest>,
    volumes: BTreeSet<Uuid>,
    /// Objects it can do nothing for.
    pub(crate) broken: BTreeSet<Uuid>,
    /// What it was told by the cluster of before, until it is told anew: older numbers are then no step back.
    of_before: BTreeSet<Uuid>,
}

impl SimulatedHost {
    /// Hears what is desired of the objects that `heard` selects.
    pub(crate) fn hear(&mut self, state: &State, host: &str, heard: impl Fn(usize) -> bool) {
        for (position, object) in state.on_host(host).enumerate() {
            let Some(desired) = state.desired(object).filter(|_| heard(position)) else { continue };
            if let (Some((DesiredObject::Instance(old), _)), DesiredObject::Instance(new)) =
                (self.ledger.get(&object.uid), &desired)
                && !self.of_before.contains(&object.uid)
            {
                assert!(old.power.generation <= new.power.generation, "a power generation ran back");
                assert!(old.generation <= new.generation, "a generation ran back");
            }
            let same = self.ledger.get(&object.uid).is_some_and(|(known, _)| *known == desired);
            if !same {
                self.ledger.insert(object.uid, (desired, false));
            }
        }
    }

    /// Does everything it was told and can do.
    pub(crate) fn work(&mut self) {
        let mut ledger = std::mem::take(&mut self.ledger);
        // Guests before volumes on the way out, volumes before guests on the way in.
        for pass in ["remove guests", "volumes", "guests"] {
            for (desired, worked) in ledger.values_mut() {
                match (desired, pass) {
                    (DesiredObject::Instance(instance), "remove guests") if !instance.present => {
                        self.guests.remove(&instance.uid);
                        *worked = true;
                    }
                    (DesiredObject::Instance(instance), "guests") if instance.present => {
                        *worked = true;
                        if !self.broken.contains(&instance.uid) {
                            self.run(instance);
                        }
                    }
                    (DesiredObject::Volume(volume), "volumes") => {
                        *worked = true;
                        if !volume.present {
                            self.volumes.remove(&volume.uid);
                        } else if !self.broken.contains(&volume.uid) {
                            self.volumes.insert(volume.uid);
                        }
                    }
                    _ => {}
                }
            }
        }
        self.ledger = ledger;
    }

    fn run(&mut self, instance: &DesiredInstance) {
        assert!(instance.hardware.disks.iter().all(|disk| disk.serial.len() == 20));
        let guest = self.guests.entry(instance.uid).or_default();
        if self.of_before.remove(&instance.uid) {
            // Taken up as it is, unless it is wanted otherwise.
            let (running, executed) = (instance.power.on, instance.power.generation);
            *guest = Guest { running, executed, ..Guest::default() };
        } else if instance.power.generation > guest.executed {
            *guest =
                Guest { running: instance.power.on, executed: instance.power.generation, ..Guest::default() };
        } else if instance.power.on && guest.rebooted {
            (guest.running, guest.rebooted) = (true, false);
        }
    }

    /// The cluster that told it was restored from a backup.
    pub(crate) fn outlive(&mut self) {
        self.of_before = self.ledger.keys().copied().collect();
    }

    /// Whether the guest of an instance runs; none if there is no such guest.
    pub(crate) fn runs(&self, uid: Uuid) -> Option<bool> {
        self.guests.get(&uid).map(|guest| guest.running)
    }

    /// All that it has, or was told to have.
    pub(crate) fn everything(&self) -> Vec<Thing> {
        let mut things = BTreeMap::new();
        let thing = |uid: Uuid, sort, here, going| Thing {
            uid,
            sort,
            here,
            going,
            running: self.runs(uid) == Some(true),
            off_cause: None,
        };
        for uid in &self.volumes {
            things.insert(*uid, thing(*uid, ThingSort::Volume, true, false));
        }
        for uid in self.guests.keys() {
            things.insert(*uid, thing(*uid, ThingSort::Instance, true, false));
        }
        for (uid, (desired, _)) in &self.ledger {
            let (sort, here, present) = match desired {
                DesiredObject::Volume(volume) => {
                    (ThingSort::Volume, self.volumes.contains(uid), volume.present)
                }
                DesiredObject::Instance(instance) => {
                    (ThingSort::Instance, self.guests.contains_key(uid), instance.present)
                }
            };
            let mut known = thing(*uid, sort, here, !present);
            if let (DesiredObject::Instance(instance), Some(guest)) = (desired, self.guests.get(uid))
                && !guest.running
            {
                known.off_cause = guest.ended.or((!instance.power.on).then_some(OffCause::Requested));
            }
            things.insert(*uid, known);
        }
        things.into_values().collect()
    }

    /// A guest, chosen by `which`, ends by itself. True if one ran.
    pub(crate) fn end_guest(&mut self, which: usize, cause: OffCause) -> bool {
        let mut running: Vec<&mut Guest> = self.guests.values_mut().filter(|guest| guest.running).collect();
        let count = running.len();
        let Some(guest) = running.get_mut(which % count.max(1)) else { return false };
        (guest.running, guest.ended) = (false, Some(cause));
        true
    }

    /// The power of the whole machine goes and comes back. True if a guest ran.
    pub(crate) fn reboot(&mut self) -> bool {
        let mut any = false;
        for guest in self.guests.values_mut() {
            any |= guest.running;
            *guest = Guest { running: false, executed: guest.executed, ended: None, rebooted: true };
        }
        any
    }

    /// What it says of the objects that `said` selects and that it has worked on.
    pub(crate) fn report(&self, said: impl Fn(usize) -> bool) -> Vec<ObjectReport> {
        let worked = self.ledger.iter().filter(|(_, (_, worked))| *worked).enumerate();
        worked
            .filter(|(position, _)| said(*position))
            .map(|(_, (uid, (desired, _)))| match desired {
                DesiredObject::Volume(volume) => ObjectReport::Volume(VolumeReport {
                    uid: *uid,
                    generation: volume.generation,
                    epoch: volume.epoch,
                    present: self.volumes.contains(uid),
                    failure: self.failure(*uid, volume.present),
                    capture_failure: None,
                }),
                DesiredObject::Instance(instance) => ObjectReport::Instance(self.instance(instance)),
            })
            .collect()
    }

    /// Copies it was told to make of volumes that it has: volume, epoch, image.
    pub(crate) fn copies(&self) -> Vec<(Uuid, u64, Uuid)> {
        let volumes = self.ledger.values().filter_map(|(desired, worked)| match desired {
            DesiredObject::Volume(volume) if *worked && self.volumes.contains(&volume.uid) => Some(volume),
            _ => None,
        });
        volumes.filter_map(|volume| Some((volume.uid, volume.epoch, volume.capture?))).collect()
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
            failure: self.failure(desired.uid, desired.present),
            running,
            power_generation: executed,
            off_cause: guest.and_then(|guest| guest.ended).filter(|_| settled && !running),
        }
    }

    fn failure(&self, uid: Uuid, wanted: bool) -> Option<Failure> {
        (wanted && self.broken.contains(&uid)).then(|| Failure {
            reason: "Broken".into(),
            message: "Something is broken".into(),
            detail: "/dev/sdb".into(),
        })
    }
}
