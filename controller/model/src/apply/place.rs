//! Binding an instance to a host, with its volumes and hardware.

use std::sync::Arc;

use rempart_api::compute::{InstanceSpec, PowerState};
use rempart_api::fleet::Acceleration;
use rempart_api::{Kind, Phase, Urn};

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::PlaceCommand;
use crate::kinds::Spec;
use crate::object::{Detail, Hardware, HardwareDisk, InstanceDetail, Object, Placement};
use crate::placement;
use crate::planted;
use crate::refusal::Refusal;

/// Machine type of every guest: the newest that Debian 12's QEMU (7.2) has. A guest keeps the one it was made with.
const MACHINE: &str = "pc-q35-7.2";
/// CPU model under KVM: x86-64-v2 with AES, in any server CPU since 2010.
const CPU_KVM: &str = "Westmere";
/// CPU model under emulation, where richer models only cost speed.
const CPU_EMULATION: &str = "qemu64";

impl Tx {
    pub(super) fn settle_new_instance(
        &mut self,
        mut object: Object,
        host: Option<&str>,
    ) -> Result<Arc<Object>, Refusal> {
        // A proposal that no longer holds is no reason to refuse: the instance waits for the placement loop.
        let Some(host) = host.filter(|host| placement::fits(&self.state, &object, host).is_ok()) else {
            return Ok(self.write(object));
        };
        self.bind(&mut object, host)?;
        object.status.enter(Phase::Creating, self.now);
        Ok(self.write(object))
    }

    pub(super) fn settle_changed_instance(
        &mut self,
        mut object: Object,
        new: &InstanceSpec,
        old: &InstanceSpec,
    ) -> Result<Arc<Object>, Refusal> {
        let joins = matches!(object.status.state, Phase::Pending | Phase::Creating);
        let changes_host = new.boot_volume != old.boot_volume
            || new.data_volumes != old.data_volumes
            || new.ssh_keys != old.ssh_keys
            || new.user_data != old.user_data;
        // What failed is tried again under a new generation, so that there is a report to wait for.
        let failed =
            matches!(&object.detail, Detail::Instance(instance) if instance.realised.failure.is_some());
        if changes_host || failed {
            // Hardware is allocated anew for what changed; the rest keeps its slots.
            if let Some(host) = object.placement().map(|placement| placement.host.clone()) {
                self.check_space(&object, &host)?;
                self.bind_volumes(&mut object, &host)?;
            }
            if let Detail::Instance(instance) = &mut object.detail {
                instance.host_generation = object.resource_version;
            }
        }
        let settled = matches!(&object.detail, Detail::Instance(instance) if is_settled(instance));
        if !joins && settled {
            object.status.enter(Phase::Active, self.now);
        }
        Ok(self.write(object))
    }

    pub(super) fn place(&mut self, place: &PlaceCommand) -> Outcome {
        let waiting = self.state.by_uid(place.uid).filter(|object| !object.is_deleting()).cloned();
        let Some(object) = waiting.filter(|object| object.placement().is_none()) else {
            return Err(Refusal::conflict("the instance is gone or placed already"));
        };
        if let Err(rule) = placement::fits(&self.state, &object, &place.host) {
            return Err(Refusal::conflict(format!("host {:?} does not fit: {rule:?}", place.host)));
        }
        let mut object = (*object).clone();
        self.bind(&mut object, &place.host)?;
        object.status.enter(Phase::Creating, self.now);
        self.write(object);
        Ok(Answer::Done)
    }

    pub(super) fn bind(&mut self, object: &mut Object, host: &str) -> Result<(), Refusal> {
        let accelerated = match self.state.get(&Urn::global(Kind::Host, host)).map(|host| &host.detail) {
            Some(Detail::Host(host)) => host.report.virtualization.acceleration == Acceleration::Kvm,
            _ => false,
        };
        let size = placement::size(&self.state, object)
            .ok_or_else(|| Refusal::conflict("its SKU or boot volume has gone"))?;
        if let Detail::Instance(instance) = &mut object.detail {
            instance.epoch += 1;
            instance.placement = Some(Placement { host: host.to_owned(), epoch: instance.epoch });
            instance.hardware.get_or_insert(Hardware {
                machine: MACHINE.to_owned(),
                cpu_model: if accelerated { CPU_KVM } else { CPU_EMULATION }.to_owned(),
                firmware: size.firmware,
                vcpus: size.vcpus,
                memory_mib: size.memory_mib,
                disks: Vec::new(),
            });
        }
        self.bind_volumes(object, host)
    }

    /// Volumes attached to an instance that has its place go there, too.
    fn check_space(&self, object: &Object, host: &str) -> Result<(), Refusal> {
        let more_mib = placement::new_space_mib(&self.state, object);
        if placement::has_space(&self.state, host, more_mib) {
            return Ok(());
        }
        Err(Refusal::conflict(format!(
            "there is no room for {} GB more of volumes where {} is; attach less, or create the instance anew with all its \
             volumes",
            more_mib >> 10,
            object.urn
        )))
    }

    /// Binds every volume the instance names to `host` and gives each its slot.
    fn bind_volumes(&mut self, object: &mut Object, host: &str) -> Result<(), Refusal> {
        let Spec::Instance(spec) = &object.spec else { return Ok(()) };
        let references = std::iter::once(&spec.boot_volume)
            .chain(spec.data_volumes.iter().flatten())
            .map(|volume| &volume.device_ref);
        let mut volumes = Vec::new();
        for reference in references {
            let urn = self.state.resolve(reference, Kind::BlockStorage, &object.urn);
            let volume = urn.ok().and_then(|urn| self.state.get(&urn).cloned());
            let volume = volume.ok_or_else(|| Refusal::conflict("a volume of the instance has gone"))?;
            volumes.push(volume.uid);
            self.bind_volume(&volume, host)?;
        }
        if let Detail::Instance(instance) = &mut object.detail
            && let Some(hardware) = &mut instance.hardware
        {
            let off = instance.power_state == PowerState::Off && !instance.power.on;
            let leaving = hardware.disks.iter().any(|disk| !volumes.contains(&disk.volume));
            if leaving && !off {
                // A running guest holds its disks open: one that left its spec could be given to another instance.
                let why = "a volume is detached only while the instance is off; stop it first";
                return Err(Refusal::conflict_at("/spec/dataVolumes", why));
            }
            let disks = assign_slots(&hardware.disks, &volumes);
            instance.changed_while_on |=
                !off && instance.power_state == PowerState::On && disks != hardware.disks;
            hardware.disks = disks;
        }
        Ok(())
    }

    fn bind_volume(&mut self, volume: &Arc<Object>, host: &str) -> Result<(), Refusal> {
        let Detail::Volume(detail) = &volume.detail else { return Ok(()) };
        match &detail.placement {
            Some(placement) if placement.host == host => return Ok(()),
            Some(_) if planted("disk-on-another-host") => return Ok(()),
            Some(_) => {
                return Err(Refusal::conflict(format!(
                    "{} has its data where this instance does not run; detach it, or create the instance anew",
                    volume.urn
                )));
            }
            None => {}
        }
        let mut bound = (**volume).clone();
        let epoch = self.state.first_epoch();
        if let Detail::Volume(detail) = &mut bound.detail {
            detail.placement = Some(Placement { host: host.to_owned(), epoch });
        }
        self.write(bound);
        Ok(())
    }
}

/// The host has realised the newest host generation and power generation. A guest that somebody turned on behind our
/// back does not count against it: the stop was executed, and only another one can end what is not the guest's doing.
pub(crate) fn is_settled(instance: &InstanceDetail) -> bool {
    instance.placement.is_some()
        && instance.realised.generation >= instance.host_generation
        && instance.realised.failure.is_none()
        && instance.executed_power_generation >= instance.power.generation
        && (instance.power_state == PowerState::On || !instance.power.on)
}

/// Volumes in the instance's order; one that had a slot keeps it, a new one gets the lowest free.
fn assign_slots(old: &[HardwareDisk], volumes: &[uuid::Uuid]) -> Vec<HardwareDisk> {
    let mut taken: std::collections::BTreeSet<u32> =
        old.iter().filter(|disk| volumes.contains(&disk.volume)).map(|disk| disk.slot).collect();
    volumes
        .iter()
        .map(|&volume| {
            if let Some(disk) = old.iter().find(|disk| disk.volume == volume) {
                return disk.clone();
            }
            let slot = (0..).find(|slot| !taken.contains(slot)).unwrap_or_default();
            taken.insert(slot);
            // virtio-blk shows at most 20 characters; the random end of a UUIDv7 is what tells volumes apart.
            let digits = volume.simple().to_string();
            HardwareDisk { volume, slot, serial: digits[digits.len() - 20..].to_owned() }
        })
        .collect()
}
