//! Between the model's vocabulary and the agents' (`proto/agent/v1`).

use std::collections::BTreeMap;

use rempart_api::Timestamp;
use rempart_api::fleet::{
    Acceleration, HostReport, HypervisorHealth, Leftover, LeftoverPart, UnexpectedDomain, Virtualization,
};
use rempart_api::storage::{BlobFormat, BootMode};
use rempart_model::{
    DesiredInstance, DesiredVolume, Failure, InstanceReport, LeftoverAction, ObjectReport, OffCause, Thing,
    ThingSort, VolumeReport,
};
use rempart_proto::agent::v1 as proto;
use tonic::Status;
use uuid::Uuid;

/// What a host says of itself. While its hypervisor does not answer it cannot say what it offers: then what was `known`
/// holds on.
pub(super) fn host_report(hello: &proto::Hello, known: &Virtualization) -> Result<HostReport, Status> {
    let missing = |what: &str| Status::invalid_argument(format!("the Hello lacks {what}"));
    let capacity = hello.capacity.as_ref().ok_or_else(|| missing("capacity"))?;
    let hypervisor = hello.hypervisor.as_ref().ok_or_else(|| missing("hypervisor"))?;
    Ok(HostReport {
        vcpus: capacity.vcpus,
        memory_mib: capacity.memory_mib,
        disk_mib: capacity.disk_mib,
        virtualization: hello.virtualization.as_ref().map_or_else(|| known.clone(), virtualization),
        boot_id: hello.boot_id.clone(),
        agent_version: hello.agent_version.clone(),
        hypervisor: health(hypervisor),
        unexpected_domains: Vec::new(),
        leftovers: Vec::new(),
    })
}

fn virtualization(offered: &proto::Virtualization) -> Virtualization {
    Virtualization {
        acceleration: match offered.acceleration() {
            proto::Acceleration::Kvm => Acceleration::Kvm,
            _ => Acceleration::Emulation,
        },
        reason: offered.reason.clone(),
        hypervisor_version: offered.hypervisor_version.clone(),
        libvirt_version: offered.libvirt_version.clone(),
        uefi: offered.uefi,
    }
}

pub(super) fn health(health: &proto::HypervisorHealth) -> HypervisorHealth {
    HypervisorHealth {
        available: health.available,
        reason: health.reason.clone(),
        since: (health.since_unix_ms > 0).then(|| Timestamp::from_unix_ms(health.since_unix_ms)),
    }
}

/// Names of domains are the host's, not ours: bounded before they are kept.
pub(super) fn unexpected(unexpected: &proto::UnexpectedDomains) -> Vec<UnexpectedDomain> {
    let short = |text: &str| text.chars().take(128).collect();
    let domain = |domain: &proto::UnexpectedDomain| UnexpectedDomain {
        uuid: short(&domain.uuid),
        name: short(&domain.name),
        running: domain.running,
    };
    unexpected.domains.iter().take(100).map(domain).collect()
}

/// What is no uid is no leftover of ours; words are bounded before they are kept.
pub(super) fn leftovers(leftovers: proto::Leftovers) -> Vec<Leftover> {
    let part = |part: proto::LeftoverPart| match part {
        proto::LeftoverPart::Unspecified => None,
        proto::LeftoverPart::Domain => Some(LeftoverPart::Domain),
        proto::LeftoverPart::Volume => Some(LeftoverPart::Volume),
        proto::LeftoverPart::Seed => Some(LeftoverPart::Seed),
        proto::LeftoverPart::GuestDirectory => Some(LeftoverPart::GuestDirectory),
        proto::LeftoverPart::Capture => Some(LeftoverPart::Capture),
        proto::LeftoverPart::Quarantined => Some(LeftoverPart::Quarantined),
    };
    let known = |left: proto::Leftover| {
        let mut parts: Vec<_> = left.parts().filter_map(part).collect();
        parts.sort_unstable();
        parts.dedup();
        let trouble = left.trouble.chars().take(512).collect();
        let uid = Uuid::parse_str(&left.uid).ok()?;
        Some(Leftover { uid, parts, bytes: left.bytes, running: left.running, trouble })
    };
    leftovers.leftovers.into_iter().filter_map(known).take(100).collect()
}

/// What operators ordered about them.
pub(super) fn orders(orders: &BTreeMap<Uuid, LeftoverAction>) -> proto::LeftoverOrders {
    let order = |(uid, action): (&Uuid, &LeftoverAction)| proto::LeftoverOrder {
        uid: uid.to_string(),
        action: match action {
            LeftoverAction::Quarantine => proto::LeftoverAction::Quarantine,
            LeftoverAction::Remove => proto::LeftoverAction::Remove,
        }
        .into(),
    };
    proto::LeftoverOrders { orders: orders.iter().map(order).collect() }
}

pub(super) fn volume(volume: DesiredVolume) -> proto::Volume {
    proto::Volume {
        uid: volume.uid.to_string(),
        generation: volume.generation,
        epoch: volume.epoch,
        presence: presence(volume.present),
        size_bytes: volume.size_bytes,
        source: volume.content.map(|blob| proto::Blob {
            sha256: blob.sha256,
            format: match blob.format {
                BlobFormat::Raw => proto::ImageFormat::Raw,
                BlobFormat::Qcow2 => proto::ImageFormat::Qcow2,
            }
            .into(),
            size_bytes: blob.size_bytes,
            virtual_size_bytes: blob.virtual_size_bytes,
        }),
        request_id: uid_or_nothing(volume.request_id),
        capture_image_uid: uid_or_nothing(volume.capture),
    }
}

pub(super) fn instance(instance: DesiredInstance) -> proto::Instance {
    let hardware = instance.hardware;
    proto::Instance {
        uid: instance.uid.to_string(),
        generation: instance.generation,
        epoch: instance.epoch,
        presence: presence(instance.present),
        hardware: Some(proto::Hardware {
            machine: hardware.machine,
            cpu_model: hardware.cpu_model,
            firmware: match hardware.firmware {
                BootMode::Bios => proto::Firmware::Bios,
                BootMode::Uefi => proto::Firmware::Uefi,
            }
            .into(),
            vcpus: hardware.vcpus,
            memory_mib: hardware.memory_mib,
            disks: hardware
                .disks
                .into_iter()
                .map(|disk| proto::Disk {
                    volume_uid: disk.volume.to_string(),
                    slot: disk.slot,
                    serial: disk.serial,
                })
                .collect(),
            nics: Vec::new(),
        }),
        seed: Some(proto::Seed {
            instance_id: instance.uid.to_string(),
            hostname: instance.hostname,
            ssh_keys: instance.ssh_keys,
            user_data: instance.user_data,
        }),
        power: Some(proto::Power {
            on: instance.power.on,
            generation: instance.power.generation,
            restart: instance.power.restart,
        }),
        request_id: uid_or_nothing(instance.request_id),
    }
}

fn uid_or_nothing(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn presence(present: bool) -> i32 {
    if present { proto::Presence::Present } else { proto::Presence::Absent }.into()
}

/// Every observation of a message; one that names no UUID spoils the message, since the agent is then broken.
pub(super) fn reports(observed: proto::Observed) -> Result<Vec<ObjectReport>, Status> {
    let uid = |text: &str| {
        Uuid::parse_str(text).map_err(|_| Status::invalid_argument(format!("{text:?} is not a uid")))
    };
    let mut reports = Vec::with_capacity(observed.volumes.len() + observed.instances.len());
    for volume in observed.volumes {
        reports.push(ObjectReport::Volume(VolumeReport {
            uid: uid(&volume.uid)?,
            generation: volume.generation,
            epoch: volume.epoch,
            present: volume.presence() == proto::Presence::Present,
            failure: volume.failure.map(failure),
            capture_failure: volume.capture_failure.map(failure),
        }));
    }
    for instance in observed.instances {
        reports.push(ObjectReport::Instance(InstanceReport {
            uid: uid(&instance.uid)?,
            generation: instance.generation,
            epoch: instance.epoch,
            present: instance.presence() == proto::Presence::Present,
            running: instance.running,
            power_generation: instance.power_generation,
            off_cause: off_cause(instance.off_cause()),
            failure: instance.failure.map(failure),
        }));
    }
    Ok(reports)
}

/// All that a host has; a thing of a sort that is not known here is of a newer agent, and cannot have a row.
pub(super) fn things(everything: &proto::Everything) -> Result<Vec<Thing>, Status> {
    let thing = |thing: &proto::Thing| {
        let sort = match thing.kind() {
            proto::ThingKind::Unspecified => return None,
            proto::ThingKind::Volume => ThingSort::Volume,
            proto::ThingKind::Instance => ThingSort::Instance,
        };
        let uid = Uuid::parse_str(&thing.uid)
            .map_err(|_| Status::invalid_argument(format!("{:?} is not a uid", thing.uid)));
        Some(uid.map(|uid| Thing {
            uid,
            sort,
            here: thing.here,
            going: thing.going,
            running: thing.running,
            off_cause: off_cause(thing.off_cause()),
        }))
    };
    everything.things.iter().filter_map(thing).collect()
}

fn off_cause(cause: proto::PowerOffCause) -> Option<OffCause> {
    match cause {
        proto::PowerOffCause::Unspecified => None,
        proto::PowerOffCause::Guest => Some(OffCause::Guest),
        proto::PowerOffCause::Requested => Some(OffCause::Requested),
        proto::PowerOffCause::Crashed => Some(OffCause::Crashed),
    }
}

/// Words of an agent are kept in State: bounded, and the reason in SECA's alphabet.
fn failure(failure: proto::Failure) -> Failure {
    let word: String = failure.reason.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    Failure {
        reason: if word.starts_with(|first: char| first.is_ascii_alphabetic()) {
            word
        } else {
            "Failed".to_owned()
        },
        message: failure.message.chars().take(1024).collect(),
        detail: failure.detail.chars().take(4096).collect(),
    }
}
