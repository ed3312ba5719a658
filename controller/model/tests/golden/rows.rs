//! What is stored of a State: a row of every kind, with every sort of detail, answers, and the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use rempart_api::compute::PowerState;
use rempart_api::network::Cidr;
use rempart_api::storage::{BlobFormat, BootMode};
use rempart_api::{Condition, Kind, Phase, ProblemSource, Status, Urn};
use rempart_model::{
    BlocksDetail, ClusterVersion, Compared, Conflict, Core, Detail, Hardware, HardwareDisk, HostDetail,
    Identity, ImageDetail, InstanceDetail, LeftoverAction, NicDetail, Object, OffCause, Overdue, Placement,
    Power, PublicIpDetail, Realised, Recorded, Refusal, RefusalClass, ReplicaIntent, Restored, Step,
    Stranger, VolumeDetail,
};

use crate::entries::{SPECS, blob, failure, host_report, spec_label, specs, untidy_report};
use crate::{labels, map, time, uuid};

labels!(detail_label, DETAILS, Detail {
    None => "none",
    Instance => "instance",
    Volume => "volume",
    Image => "image",
    Host => "host",
    Blocks => "blocks",
    Nic => "nic",
    PublicIp => "public-ip",
});

labels!(answer_label, ANSWERS, Recorded {
    Put => "put",
    Accepted => "accepted",
    Refused => "refused",
});

labels!(class_label, CLASSES, RefusalClass {
    NotFound => "not-found",
    ParentNotFound => "parent-not-found",
    Conflict => "conflict",
    PreconditionFailed => "precondition-failed",
    Invalid => "invalid",
    Forbidden => "forbidden",
});

labels!(phase_label, PHASES, Phase {
    Pending => "pending",
    Creating => "creating",
    Active => "active",
    Updating => "updating",
    Deleting => "deleting",
    Error => "error",
});

#[test]
fn every_row_ever_stored_is_read_and_written_alike() {
    let label = |object: &Object| spec_label(&object.spec).to_owned();
    crate::check("rows", objects(), label, &SPECS.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>());
    let seen: Vec<_> = objects().iter().map(|object| detail_label(&object.detail)).collect();
    assert!(DETAILS.iter().all(|detail| seen.contains(detail)), "a detail without a row: {seen:?}");
    let seen: Vec<_> = objects()[0].status.conditions.iter().map(|entry| phase_label(&entry.state)).collect();
    assert!(PHASES.iter().all(|phase| seen.contains(phase)), "a state without a row: {seen:?}");
}

#[test]
fn every_answer_ever_kept_is_read_and_written_alike() {
    let label = |recorded: &Recorded| match recorded {
        Recorded::Refused(refusal) => format!("refused-{}", class_label(&refusal.class)),
        other => answer_label(other).to_owned(),
    };
    let accepted = ANSWERS.iter().filter(|answer| **answer != "refused").map(|answer| (*answer).to_owned());
    let refused = CLASSES.iter().map(|class| format!("refused-{class}"));
    crate::check("answers", answers(), label, &accepted.chain(refused).collect::<Vec<_>>());
}

#[test]
fn every_core_ever_stored_is_read_and_written_alike() {
    let core = Core {
        cluster_id: Some(uuid(3)),
        incarnation: 1,
        region: "eu-1".into(),
        zones: vec!["a".into(), "b".into()],
        clock: time(0),
        redeemed: Arc::default(),
        replicas: Arc::default(),
        version: ClusterVersion::FIRST,
        restored: None,
    };
    let redeemed = Arc::new([(uuid(6), time(600))].into());
    let used = Core { redeemed, ..core.clone() };
    let join = ReplicaIntent::Join { address: "10.0.0.4:7080".into() };
    let replicas = Arc::new([(1, ReplicaIntent::Leave), (4, join)].into());
    let changed = Core { replicas, ..core.clone() };
    let raised = Core { version: ClusterVersion(2), ..core.clone() };
    let restored = Core { incarnation: 2, restored: Some(Arc::new(restored())), ..core.clone() };
    let opened = Restored { opened_at: Some(time(9)), hosts: BTreeMap::new(), ..self::restored() };
    let opened = Core { restored: Some(Arc::new(opened)), ..restored.clone() };
    let label = |core: &Core| match core {
        Core { restored: Some(restored), .. } if restored.opened_at.is_some() => "opened".to_owned(),
        Core { restored: Some(_), .. } => "restored".to_owned(),
        Core { cluster_id: None, .. } => "blank".to_owned(),
        Core { version, .. } if *version > ClusterVersion::FIRST => "raised".to_owned(),
        Core { replicas, .. } if !replicas.is_empty() => "replicas".to_owned(),
        Core { redeemed, .. } if redeemed.is_empty() => "founded".to_owned(),
        _ => "redeemed".to_owned(),
    };
    let labels =
        ["blank", "founded", "redeemed", "replicas", "raised", "restored", "opened"].map(str::to_owned);
    crate::check(
        "core",
        vec![Core::default(), core, used, changed, raised, restored, opened],
        label,
        &labels,
    );
}

fn restored() -> Restored {
    let conflict = Conflict { uid: uuid(2), why: "vm is bound to host h1, and h2 has it".into() };
    let strangers = [true, false].map(|running| Stranger { uid: uuid(5), running });
    let compared =
        Compared { at: time(8), gone: 1, conflicts: vec![conflict], strangers: strangers.to_vec() };
    let clean = Compared { gone: 0, conflicts: Vec::new(), strangers: Vec::new(), ..compared.clone() };
    Restored {
        backup_id: uuid(8),
        taken_at: time(5),
        taken_index: 1234,
        restored_at: time(7),
        first_replica_id: 4,
        opened_at: None,
        hosts: [("h1".into(), clean), ("h2".into(), compared)].into(),
    }
}

fn answers() -> Vec<Recorded> {
    let refused = |class| {
        Recorded::Refused(Refusal {
            class,
            detail: "/spec/sizeGB: a volume only grows".into(),
            sources: vec![ProblemSource { pointer: "/spec/sizeGB".into(), parameter: "sizeGB".into() }],
        })
    };
    use RefusalClass as Class;
    let classes = [
        Class::NotFound,
        Class::ParentNotFound,
        Class::Conflict,
        Class::PreconditionFailed,
        Class::Invalid,
        Class::Forbidden,
    ];
    let urn = Urn::workspace(Kind::Instance, "t1", "w1", "vm");
    let mut answers =
        vec![Recorded::Put { created: true, urn: urn.into(), uid: uuid(2) }, Recorded::Accepted];
    answers.extend(classes.map(refused));
    answers
}

fn objects() -> Vec<Object> {
    let placement = || Some(Placement { host: "h1".into(), epoch: 1 });
    let realised = || Realised { generation: 6, failure: Some(Box::new(failure())) };
    let mut objects: Vec<Object> = specs()
        .into_iter()
        .map(|spec| {
            let kind = spec.kind();
            let detail = match kind {
                Kind::Instance => Detail::Instance(Box::new(instance(OffCause::Guest))),
                Kind::BlockStorage => Detail::Volume(Box::new(VolumeDetail {
                    content: Some(blob(BlobFormat::Qcow2)),
                    boot: Some(BootMode::Bios),
                    placement: placement(),
                    host_generation: 7,
                    realised: realised(),
                    request_id: None,
                    realised_size_gb: None,
                    capture: None,
                    gone: false,
                })),
                Kind::Image => Detail::Image(Box::new(ImageDetail {
                    content: Some(blob(BlobFormat::Raw)),
                    size_gb: 10,
                    source: None,
                })),
                Kind::Host => Detail::Host(Box::new(HostDetail {
                    report: host_report(),
                    reachable: false,
                    since: Some(time(3)),
                    reported_at: Some(time(2)),
                    identity: Some(Identity {
                        key_sha256: "cd".repeat(32),
                        enrolled_at: time(1),
                        revoked_at: Some(time(4)),
                    }),
                    orders: BTreeMap::new(),
                })),
                Kind::Nic => Detail::Nic(Box::new(NicDetail {
                    subnet: Arc::new(Urn::network(Kind::Subnet, "t1", "w1", "n1", "s")),
                    addresses: vec!["10.0.0.1".parse().unwrap(), "fd00:1::5".parse().unwrap()],
                    mac: serde_json::from_str("\"02:00:00:00:00:01\"").unwrap(),
                })),
                Kind::PublicIp => {
                    Detail::PublicIp(PublicIpDetail { address: "203.0.113.7".parse().unwrap() })
                }
                _ => Detail::None,
            };
            Object {
                schema: 1,
                urn: Arc::new(Urn::network(kind, "t1", "w1", "n1", "x").sibling(kind, "x")),
                uid: uuid(2),
                labels: map(&[("env", "prod")]),
                annotations: map(&[("note", "text")]),
                extensions: map(&[("rempart.protect", "true")]),
                created_at: time(0),
                modified_at: time(2),
                deleted_at: Some(time(2)),
                resource_version: 7,
                changed_index: 1234,
                spec,
                status: status(),
                detail,
                overdue: None,
            }
        })
        .collect();
    let template = objects.iter().find(|object| object.spec.kind() == Kind::Instance).unwrap().clone();
    let network = objects.iter().find(|object| object.spec.kind() == Kind::Network).unwrap().clone();
    let cidr = |v4: &str, v6: &str| Cidr { ipv4: Some(v4.into()), ipv6: Some(v6.into()) };
    let blocks = BlocksDetail {
        cidr: cidr("10.0.0.0/16", "fd19:1::/56"),
        additional: vec![cidr("10.1.0.0/16", "fd19:1:0:100::/56")],
    };
    objects.push(Object { detail: Detail::Blocks(Box::new(blocks)), ..network });
    objects.extend(
        [OffCause::Requested, OffCause::Crashed]
            .map(|cause| Object { detail: Detail::Instance(Box::new(instance(cause))), ..template.clone() }),
    );
    let volume = objects.iter().find(|object| object.spec.kind() == Kind::BlockStorage).unwrap().clone();
    for mut object in [template, volume] {
        match &mut object.detail {
            Detail::Instance(detail) => detail.request_id = Some(uuid(9)),
            Detail::Volume(detail) => detail.request_id = Some(uuid(9)),
            _ => unreachable!("one of these two"),
        }
        objects.push(object);
    }
    let mut late = objects.last().unwrap().clone();
    late.overdue = Some(Box::new(Overdue {
        step: Step::RemovingVolume,
        since: time(2),
        at: time(700),
        after_s: 600,
        resource_version: 7,
        host_generation: 7,
    }));
    objects.push(late);
    let mut host = objects.iter().find(|object| object.spec.kind() == Kind::Host).unwrap().clone();
    if let Detail::Host(detail) = &mut host.detail {
        detail.report = untidy_report();
        detail.orders = [(uuid(77), LeftoverAction::Quarantine), (uuid(78), LeftoverAction::Remove)].into();
    }
    objects.push(host);
    let mut gone = objects.iter().find(|object| object.spec.kind() == Kind::BlockStorage).unwrap().clone();
    if let Detail::Volume(detail) = &mut gone.detail {
        detail.gone = true;
    }
    objects.push(gone);
    objects
}

fn instance(off_cause: OffCause) -> InstanceDetail {
    InstanceDetail {
        placement: Some(Placement { host: "h1".into(), epoch: 1 }),
        epoch: 1,
        host_generation: 7,
        realised: Realised { generation: 6, failure: Some(Box::new(failure())) },
        power: Power { on: true, generation: 3, restart: true },
        executed_power_generation: 2,
        power_state: PowerState::On,
        power_state_since: Some(time(1)),
        off_cause: Some(off_cause),
        hardware: Some(Hardware {
            machine: "pc-q35-7.2".into(),
            cpu_model: "Westmere".into(),
            firmware: BootMode::Uefi,
            vcpus: 4,
            memory_mib: 16_384,
            disks: vec![HardwareDisk { volume: uuid(5), slot: 0, serial: "70008000000000000005".into() }],
        }),
        request_id: None,
        changed_while_on: true,
    }
}

fn status() -> Status {
    let entry = |state| Condition {
        state,
        last_transition_at: time(0),
        reason: Some("ImageMissing".into()),
        message: Some("Its image is not there yet.".into()),
    };
    use Phase::{Active, Creating, Deleting, Error, Pending, Updating};
    Status {
        state: Deleting,
        conditions: [Deleting, Error, Updating, Active, Creating, Pending].map(entry).to_vec(),
    }
}
