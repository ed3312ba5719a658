use super::*;
use crate::desired::{Disk, Hardware, ImageFormat, Instance, Power, Presence, Stamp, Volume};
use crate::disk::image::{ImageState, ImageStore};
use crate::disk::seed;
use crate::disk::volume::VolumeFile;
use crate::ledger::VolumeRecord;
use crate::ledger::power::PowerStep;
use crate::vm::{Domain, OffCause};
use crate::world::VolumeState;

mod crash;
mod rules;

pub(crate) const VOLUME: Uuid = Uuid::from_u128(0xa);
pub(crate) const INSTANCE: Uuid = Uuid::from_u128(0xb);
const GIB: u64 = 1 << 30;

pub(crate) fn stamp() -> Stamp {
    Stamp { cluster_id: "cluster".into(), incarnation: 1, applied_index: 1 }
}

pub(crate) fn blob() -> Blob {
    let sha256 = Digest::parse(&"ab".repeat(32)).unwrap();
    Blob { sha256, format: ImageFormat::Qcow2, size_bytes: 4096, virtual_size_bytes: GIB }
}

pub(crate) fn volume() -> Volume {
    Volume {
        uid: VOLUME,
        generation: 1,
        epoch: 1,
        presence: Presence::Present,
        size_bytes: GIB,
        source: Some(blob()),
        capture: None,
        request_id: None,
    }
}

pub(crate) fn instance() -> Instance {
    Instance {
        uid: INSTANCE,
        generation: 1,
        epoch: 1,
        presence: Presence::Present,
        hardware: Some(Hardware {
            machine: "pc-q35-7.2".into(),
            cpu_model: "Nehalem".into(),
            uefi: false,
            vcpus: 1,
            memory_mib: 256,
            disks: vec![Disk { volume: VOLUME, slot: 0, serial: "root".into() }],
            nics: vec![],
        }),
        seed: Seed { hostname: "web-1".into(), ..Seed::default() },
        power: Power { on: true, generation: 1, restart: false },
        request_id: None,
    }
}

/// A host without disks or hypervisor: steps change a [`World`], and what must never happen is asserted on the way.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) ledger: Snapshot,
    pub(super) world: World,
    pub(super) host: Host,
    pub(super) pressed: BTreeMap<Uuid, Pressed>,
    /// The guest shuts itself down as soon as it executes.
    pub(super) brief: bool,
    /// The guest heeds its power button.
    pub(super) polite: bool,
    pub(super) starts: usize,
    /// Copies the controllers were given.
    pub(super) sent: Vec<Uuid>,
}

impl Stage {
    pub(super) fn empty() -> Self {
        let mut world =
            World { boot_id: "boot-1".into(), domains: Some(BTreeMap::new()), ..World::default() };
        world.images.insert(blob(), ImageState::Unverified);
        let host = Host {
            boot_id: "boot-1".into(),
            data: DataDir::new("/data"),
            images: ImageStore::new("/images", "/data/image-records"),
        };
        let (ledger, pressed) = (Snapshot::default(), BTreeMap::new());
        Self { ledger, world, host, pressed, brief: false, polite: true, starts: 0, sent: Vec::new() }
    }

    /// With the volume and the instance desired.
    pub(super) fn desired() -> Self {
        let mut stage = Self::empty();
        stage.want_volume(|_| {});
        stage.want(|_| {});
        stage
    }

    /// Desired, and everything done.
    pub(super) fn settled() -> Self {
        let mut stage = Self::desired();
        stage.drive();
        stage
    }

    pub(super) fn want_volume(&mut self, change: impl FnOnce(&mut Volume)) {
        let mut volume = self.ledger.volumes.get(&VOLUME).map_or_else(volume, |held| held.volume.clone());
        change(&mut volume);
        let record = VolumeRecord { stamp: stamp(), listed: true, volume };
        self.ledger.volumes.insert(VOLUME, Arc::new(record));
    }

    pub(super) fn want(&mut self, change: impl FnOnce(&mut Instance)) {
        let held = self.ledger.instances.get(&INSTANCE);
        let mut instance = held.map_or_else(instance, |held| held.instance.clone());
        let mut former_volumes: BTreeSet<Uuid> =
            held.map(|held| held.instance.volumes().collect()).unwrap_or_default();
        change(&mut instance);
        instance.volumes().for_each(|volume| _ = former_volumes.remove(&volume));
        let seed_fingerprint = seed::fingerprint(&instance.seed);
        let record =
            InstanceRecord { stamp: stamp(), listed: true, former_volumes, instance, seed_fingerprint };
        self.ledger.put_instance(record);
    }

    pub(super) fn power(&mut self, on: bool, generation: u64, restart: bool) {
        self.want(|instance| instance.power = Power { on, generation, restart });
    }

    pub(super) fn plan(&self) -> BTreeMap<Object, ObjectPlan> {
        let Self { ledger, world, host, pressed, .. } = self;
        plan(Input { ledger, world, host, pressed })
    }

    pub(super) fn domain(&mut self) -> &mut Domain {
        self.world.domains.as_mut().unwrap().get_mut(&INSTANCE).unwrap()
    }

    pub(super) fn is_running(&self) -> bool {
        let domains = self.world.domains.as_ref().unwrap();
        domains.get(&INSTANCE).is_some_and(|domain| domain.running)
    }

    /// The next step of any object, the order of objects being the map's.
    pub(super) fn next(&self) -> Option<Action> {
        self.plan().into_values().find_map(|plan| plan.actions.into_iter().next())
    }

    /// Takes steps, planning anew after each, until there is nothing left to do; waits out graces.
    pub(super) fn drive(&mut self) -> usize {
        self.drive_for(1000)
    }

    /// Takes at most `steps` steps and returns how many it took.
    pub(super) fn drive_for(&mut self, steps: usize) -> usize {
        for taken in 0..steps {
            while self.next().is_none() {
                let Some(grace) = self.plan().values().filter_map(|plan| plan.wake_after).min() else {
                    return taken;
                };
                for pressed in self.pressed.values_mut() {
                    pressed.ago += grace;
                    pressed.last_ago += grace;
                }
            }
            let action = self.next().unwrap();
            self.take(&action);
        }
        assert!(steps < 1000, "it never ends");
        steps
    }

    pub(super) fn take(&mut self, action: &Action) {
        match action {
            Action::FetchImage(blob) => {
                let before = self.world.images.insert(blob.clone(), ImageState::Verified);
                let wanted = [ImageState::Missing, ImageState::Refused].map(Some).contains(&before);
                assert!(wanted, "fetched over {before:?}");
            }
            Action::VerifyBase(blob) => _ = self.world.images.insert(blob.clone(), ImageState::Verified),
            Action::CreateVolume { volume, size_bytes, base } => {
                let base = base.as_ref().map(|blob| {
                    assert_eq!(self.world.images[blob], ImageState::Verified, "made from unverified bytes");
                    (self.host.images.file(blob), blob.format.name().to_owned())
                });
                let file = VolumeFile { virtual_size_bytes: *size_bytes, base };
                let former = self.world.volumes.insert(*volume, VolumeState::File(file));
                assert_eq!(former, None, "overwritten");
            }
            Action::GrowVolume { volume, size_bytes } => {
                assert!(!self.is_running(), "resized under a guest");
                let Some(VolumeState::File(file)) = self.world.volumes.get_mut(volume) else { panic!() };
                file.virtual_size_bytes = *size_bytes;
            }
            Action::GrowRunning { instance, volume, size_bytes } => {
                assert!(self.is_running() && *instance == INSTANCE, "no guest to tell");
                let Some(VolumeState::File(file)) = self.world.volumes.get_mut(volume) else { panic!() };
                file.virtual_size_bytes = *size_bytes;
            }
            Action::DeleteVolume(volume) => {
                assert!(self.world.domains.as_ref().unwrap().is_empty(), "deleted under a domain");
                self.world.volumes.remove(volume);
            }
            Action::CaptureVolume { volume, image } => {
                assert!(!self.is_running(), "copied under a guest");
                self.world.captures.entry(*volume).or_default().insert(*image);
            }
            Action::SendCapture { volume, image, .. } => {
                assert!(self.world.captures[volume].contains(image), "sent before it was made");
                self.sent.push(*image);
            }
            Action::DropCapture { volume, image } => {
                let captures = self.world.captures.get_mut(volume).unwrap();
                captures.remove(image);
                if captures.is_empty() {
                    self.world.captures.remove(volume);
                }
            }
            Action::CreateRunDir(uid) => _ = self.world.run_dirs.insert(*uid),
            Action::WriteSeed(uid, shared) => {
                assert!(!self.is_running());
                self.world.seeds.insert(*uid, seed::fingerprint(shared.seed()));
            }
            Action::Define(guest) => self.define(guest),
            Action::RecordPower(uid, record) => _ = self.ledger.power.insert(*uid, record.clone()),
            Action::Start(_) => {
                if !self.is_running() {
                    self.starts += 1;
                    let ready =
                        self.world.volumes.contains_key(&VOLUME) && self.world.seeds.contains_key(&INSTANCE);
                    assert!(ready, "started without its disk or seed");
                }
                let domain = self.domain();
                (domain.paused, domain.running) = (!domain.running || domain.paused, true);
                domain.off_cause = None;
            }
            Action::Resume(_) => {
                let step = self.step();
                assert_eq!(step, Some(PowerStep::Started), "executes before that is written");
                self.domain().paused = false;
                if self.brief {
                    self.go_off(OffCause::Shutdown);
                }
            }
            Action::PressPowerButton(uid, generation) => {
                let ago = Duration::ZERO;
                let first = Pressed { generation: *generation, ago, last_ago: ago };
                let pressed = self.pressed.entry(*uid).or_insert(first);
                *pressed = if pressed.generation == *generation {
                    Pressed { last_ago: ago, ..*pressed }
                } else {
                    first
                };
                if self.polite {
                    self.go_off(OffCause::Shutdown);
                }
            }
            Action::PowerOff(_) => self.go_off(OffCause::Destroyed),
            Action::Undefine(uid) => {
                assert!(!self.is_running());
                self.world.domains.as_mut().unwrap().remove(uid);
            }
            Action::RemoveSeed(uid) => _ = self.world.seeds.remove(uid),
            Action::RemoveRunDir(uid) => _ = self.world.run_dirs.remove(uid),
        }
    }

    fn define(&mut self, guest: &Guest) {
        assert!(!self.is_running(), "redefined while running");
        let domains = self.world.domains.as_mut().unwrap();
        let off_cause = domains.get(&guest.uuid).and_then(|domain| domain.off_cause);
        let (name, definition) = (guest.uuid.to_string(), Some(guest.digest()));
        domains.insert(
            guest.uuid,
            Domain { uuid: guest.uuid, name, running: false, paused: false, off_cause, definition },
        );
    }

    pub(super) fn go_off(&mut self, cause: OffCause) {
        if self.is_running() {
            let domain = self.domain();
            (domain.running, domain.paused, domain.off_cause) = (false, false, Some(cause));
        }
    }

    /// The host went down and came up again.
    pub(super) fn reboot(&mut self, boot_id: &str) {
        for domain in self.world.domains.as_mut().unwrap().values_mut() {
            (domain.running, domain.paused, domain.off_cause) = (false, false, None);
        }
        self.pressed.clear();
        self.world.boot_id = boot_id.into();
        self.host.boot_id = boot_id.into();
    }

    pub(super) fn step(&self) -> Option<PowerStep> {
        self.ledger.power.get(&INSTANCE).map(|record| record.step)
    }
}
