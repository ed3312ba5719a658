//! One log entry of every command, and a PUT of every kind, with every optional field.

use rempart_api::authorization::{Permission, RoleAssignmentSpec, RoleScope, RoleSpec};
use rempart_api::catalogue::AddressPoolSpec;
use rempart_api::compute::{InstanceSkuSpec, InstanceSpec, VolumeBus, VolumeReference};
use rempart_api::fleet::{
    Acceleration, HostReport, HostSpec, HypervisorHealth, Leftover, LeftoverPart, Overcommit,
    UnexpectedDomain, Virtualization,
};
use rempart_api::identity::{AccountKey, ServiceAccountSpec, TokenRevocationSpec};
use rempart_api::network::{
    Cidr, Direction, Icmp, InternetGatewaySpec, IpVersion, NetworkSkuSpec, NetworkSpec, NicSpec, Ports,
    Protocol, PublicIpSpec, Route, RouteTableSpec, SecurityGroupRuleSpec, SecurityGroupSpec, SubnetSpec,
};
use rempart_api::region::{RegionProvider, RegionSpec};
use rempart_api::storage::{
    BlobFormat, BlobSpec, BlockStorageSpec, BootMode, CpuArchitecture, ImageSpec, Initializer, StorageClass,
    StorageSkuSpec,
};
use rempart_api::tenancy::{Countable, Quota, TenantSpec, WorkspaceQuotaSpec};
use rempart_api::workspace::WorkspaceSpec;
use rempart_api::{Kind, Reference, StringMap, Urn};
use rempart_model::{
    Agreed, CaptureCommand, ClusterVersion, Command, CompareCommand, DeleteCommand, DigestCommand,
    ENVELOPE_FORMAT, EnrolCommand, Envelope, ExpireCommand, Expired, Failure, FillCommand, Founding,
    HostAction, HostCommand, HostName, HostSeen, InstanceReport, LeftoverAction, LeftoverCommand,
    ObjectReport, OffCause, PlaceCommand, PowerAction, PowerCommand, PutCommand, RedeemCommand,
    ReleaseCommand, ReplicaCommand, ReplicaIntent, ReportCommand, ResumeCommand, STEPS, Spec, Thing,
    ThingSort, TokenUse, UpgradeCommand, VolumeReport, WindDownCommand,
};
use serde_json::json;

use crate::{labels, map, reference, time, uuid};

labels!(command_label, COMMANDS, Command {
    Found => "found",
    Put => "put",
    Delete => "delete",
    Power => "power",
    Fill => "fill",
    Place => "place",
    HostSeen => "host-seen",
    HostUnreachable => "host-unreachable",
    Report => "report",
    Enrol => "enrol",
    Redeem => "redeem",
    Host => "host",
    Capture => "capture",
    WindDown => "wind-down",
    Replica => "replica",
    Expire => "expire",
    Leftover => "leftover",
    Release => "release",
    Upgrade => "upgrade",
    Digest => "digest",
    Compare => "compare",
    Resume => "resume",
});

labels!(spec_label, SPECS, Spec {
    Region => "region",
    Workspace => "workspace",
    InstanceSku => "instance-sku",
    Instance => "instance",
    StorageSku => "storage-sku",
    BlockStorage => "block-storage",
    Image => "image",
    NetworkSku => "network-sku",
    Network => "network",
    Subnet => "subnet",
    RouteTable => "route-table",
    InternetGateway => "internet-gateway",
    Tenant => "tenant",
    Host => "host",
    ServiceAccount => "service-account",
    TokenRevocation => "token-revocation",
    Nic => "nic",
    PublicIp => "public-ip",
    SecurityGroup => "security-group",
    SecurityGroupRule => "security-group-rule",
    AddressPool => "address-pool",
    Role => "role",
    RoleAssignment => "role-assignment",
    WorkspaceQuota => "workspace-quota",
});

fn label(envelope: &Envelope) -> String {
    match &envelope.command {
        Command::Put(put) => format!("put-{}", spec_label(&put.spec)),
        other => command_label(other).to_owned(),
    }
}

#[test]
fn every_entry_ever_written_is_read_and_written_alike() {
    let puts = SPECS.iter().map(|kind| format!("put-{kind}"));
    let others = COMMANDS.iter().filter(|command| **command != "put").map(|command| (*command).to_owned());
    crate::check("", samples(), label, &puts.chain(others).collect::<Vec<_>>());
}

fn envelope(command: Command) -> Envelope {
    Envelope {
        format: ENVELOPE_FORMAT,
        request_id: uuid(1),
        actor: "alice@example.eu".into(),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        time: time(0),
        command,
    }
}

pub(crate) fn put(urn: Urn, spec: Spec) -> PutCommand {
    PutCommand {
        urn,
        if_unmodified_since: None,
        labels: StringMap::new(),
        annotations: StringMap::new(),
        extensions: StringMap::new(),
        spec,
        uid: uuid(2),
        host: None,
    }
}

fn samples() -> Vec<Envelope> {
    let if_unmodified_since = Some(7);
    let vm = Urn::workspace(Kind::Instance, "t1", "w1", "vm");
    let puts = specs().into_iter().map(|spec| {
        Command::Put(Box::new(PutCommand {
            urn: Urn::network(spec.kind(), "t1", "w1", "n1", "x").sibling(spec.kind(), "x"),
            if_unmodified_since,
            labels: map(&[("env", "prod"), ("tier:web", "é\u{1f600}")]),
            annotations: map(&[("note", "line\nbreak \"quoted\"")]),
            extensions: map(&[("rempart.protect", "true")]),
            spec,
            uid: uuid(2),
            host: Some("h1".into()),
        }))
    });
    let urn = vm.clone();
    let mut commands = vec![
        Command::Found(Founding {
            cluster_id: uuid(3),
            region: "eu-1".into(),
            zones: vec!["a".into(), "b".into()],
            catalogue: vec![put(Urn::global(Kind::Tenant, "public"), tenant())],
        }),
        Command::Put(Box::new(put(
            Urn::global(Kind::Region, "eu-1"),
            Spec::from(RegionSpec { available_zones: vec!["a".into(), "b".into()], providers: Vec::new() }),
        ))),
        Command::Delete(DeleteCommand { urn: vm.clone(), if_unmodified_since }),
        Command::Fill(FillCommand {
            urn: Urn::workspace(Kind::BlockStorage, "t1", "w1", "v"),
            content: blob(BlobFormat::Qcow2),
        }),
        Command::Fill(FillCommand {
            urn: Urn::workspace(Kind::BlockStorage, "t1", "w1", "v"),
            content: blob(BlobFormat::Raw),
        }),
        Command::Place(PlaceCommand { uid: uuid(2), host: "h1".into() }),
        Command::HostSeen(Box::new(HostSeen {
            host: "h1".into(),
            uid: uuid(4),
            zone: "a".into(),
            report: host_report(),
            at: None,
            key_sha256: None,
        })),
        Command::HostSeen(Box::new(HostSeen {
            host: "h1".into(),
            uid: uuid(4),
            zone: "a".into(),
            report: host_report(),
            at: Some(time(1)),
            key_sha256: Some("cd".repeat(32)),
        })),
        Command::Enrol(EnrolCommand {
            host: "h1".into(),
            uid: uuid(4),
            zone: Some("a".into()),
            key_sha256: "cd".repeat(32),
            token: token(),
        }),
        Command::Redeem(RedeemCommand {
            token: token(),
            purpose: "console serial".into(),
            urn: Some(vm.clone()),
        }),
        Command::HostUnreachable(HostName { host: "h1".into(), changed_index: None }),
        Command::HostUnreachable(HostName { host: "h1".into(), changed_index: Some(1234) }),
        Command::Report(ReportCommand { host: "h1".into(), objects: reports() }),
    ];
    let actions = [PowerAction::Start, PowerAction::Stop, PowerAction::Restart];
    commands.extend(
        actions.map(|action| Command::Power(PowerCommand { urn: urn.clone(), if_unmodified_since, action })),
    );
    let actions = [HostAction::Cordon, HostAction::Uncordon, HostAction::Revoke];
    let host = Urn::global(Kind::Host, "h1");
    commands.extend(
        actions.map(|action| Command::Host(HostCommand { urn: host.clone(), if_unmodified_since, action })),
    );
    // What came later stands at the end: the files before it keep their numbers.
    let later = [
        Command::WindDown(WindDownCommand { tenant: "t1".into() }),
        Command::Leftover(LeftoverCommand {
            host: "h1".into(),
            uid: uuid(2),
            action: LeftoverAction::Quarantine,
        }),
        Command::Leftover(LeftoverCommand {
            host: "h1".into(),
            uid: uuid(2),
            action: LeftoverAction::Remove,
        }),
        Command::HostSeen(Box::new(HostSeen {
            host: "h1".into(),
            uid: uuid(4),
            zone: "a".into(),
            report: untidy_report(),
            at: None,
            key_sha256: None,
        })),
        Command::Release(ReleaseCommand { host: "h1".into(), uid: uuid(2) }),
        // Every step there is, and once without what may be left out.
        Command::Expire(ExpireCommand {
            objects: STEPS
                .iter()
                .zip(0..)
                .map(|(info, host_generation)| Expired {
                    uid: uuid(2),
                    resource_version: 7,
                    host_generation,
                    step: info.step,
                    since: time(3),
                    after_s: 600,
                })
                .collect(),
        }),
        Command::Capture(CaptureCommand {
            host: "h1".into(),
            volume: uuid(5),
            epoch: 1,
            image: uuid(7),
            content: blob(BlobFormat::Qcow2),
        }),
        Command::Report(ReportCommand { host: "h1".into(), objects: vec![failed_capture()] }),
        Command::Replica(ReplicaCommand {
            replica_id: 4,
            intent: ReplicaIntent::Join { address: "10.0.0.4:7080".into() },
        }),
        Command::Replica(ReplicaCommand { replica_id: 1, intent: ReplicaIntent::Leave }),
        Command::Upgrade(UpgradeCommand { version: ClusterVersion(2) }),
        Command::Digest(DigestCommand { agreed: None }),
        Command::Digest(DigestCommand { agreed: Some(Agreed { index: 42, digest: "0f".repeat(16) }) }),
        Command::Compare(Box::new(CompareCommand { host: "h1".into(), things: things() })),
        Command::Resume(ResumeCommand { without: vec!["h2".into()] }),
        Command::Resume(ResumeCommand::default()),
    ];
    commands.into_iter().chain(puts).chain(later).map(envelope).collect()
}

fn token() -> TokenUse {
    TokenUse { id: uuid(6), expires_at: time(600) }
}

pub(crate) fn blob(format: BlobFormat) -> BlobSpec {
    BlobSpec { sha256: "ab".repeat(32), format, size_bytes: 5_242_880, virtual_size_bytes: 2_147_483_648 }
}

pub(crate) fn failure() -> Failure {
    Failure {
        reason: "ImageMissing".into(),
        message: "Its image is not there yet.".into(),
        detail: "h1: /var/x".into(),
    }
}

fn reports() -> Vec<ObjectReport> {
    let instance = |off_cause| {
        ObjectReport::Instance(InstanceReport {
            uid: uuid(2),
            generation: 3,
            epoch: 1,
            present: true,
            failure: Some(failure()),
            running: false,
            power_generation: 2,
            off_cause,
        })
    };
    let mut reports = vec![ObjectReport::Volume(VolumeReport {
        uid: uuid(5),
        generation: 2,
        epoch: 1,
        present: false,
        failure: Some(failure()),
        capture_failure: None,
    })];
    reports
        .extend([OffCause::Guest, OffCause::Requested, OffCause::Crashed].map(|cause| instance(Some(cause))));
    reports.push(instance(None));
    reports
}

fn things() -> Vec<Thing> {
    let thing = |sort| Thing {
        uid: uuid(2),
        sort,
        here: true,
        going: true,
        running: true,
        off_cause: Some(OffCause::Guest),
    };
    let nothing = |sort| Thing { here: false, going: false, running: false, off_cause: None, ..thing(sort) };
    vec![thing(ThingSort::Volume), thing(ThingSort::Instance), nothing(ThingSort::Volume)]
}

fn failed_capture() -> ObjectReport {
    ObjectReport::Volume(VolumeReport {
        uid: uuid(5),
        generation: 3,
        epoch: 1,
        present: true,
        failure: None,
        capture_failure: Some(failure()),
    })
}

pub(crate) fn host_report() -> HostReport {
    HostReport {
        vcpus: 16,
        memory_mib: 65_536,
        disk_mib: 1_048_576,
        virtualization: Virtualization {
            acceleration: Acceleration::Kvm,
            reason: "/dev/kvm opens".into(),
            hypervisor_version: "QEMU 7.2.22".into(),
            libvirt_version: "9.0.0".into(),
            uefi: true,
        },
        boot_id: "11111111-2222-3333-4444-555555555555".into(),
        agent_version: "0.1.0".into(),
        hypervisor: HypervisorHealth {
            available: false,
            reason: "Connection refused".into(),
            since: Some(time(-60)),
        },
        unexpected_domains: vec![UnexpectedDomain {
            uuid: "u".into(),
            name: "by-hand".into(),
            running: true,
        }],
        leftovers: Vec::new(),
    }
}

/// The same, of a host that has every sort of leftover.
pub(crate) fn untidy_report() -> HostReport {
    use LeftoverPart::{Capture, Domain, GuestDirectory, Quarantined, Seed, Volume};
    let leftover = Leftover {
        uid: uuid(77),
        parts: vec![Domain, Volume, Seed, GuestDirectory, Capture, Quarantined],
        bytes: 4096,
        running: true,
        trouble: "Read-only file system".into(),
    };
    HostReport { leftovers: vec![leftover], ..host_report() }
}

fn tenant() -> Spec {
    Spec::from(TenantSpec {
        owners: vec!["alice@example.eu".into()],
        subjects: None,
        suspended: false,
        quota: Quota::new(),
    })
}

/// A spec of every kind, with every field.
pub(crate) fn specs() -> Vec<Spec> {
    let full = Reference {
        resource: "skus/x".into(),
        provider: Some("seca.compute/v1".into()),
        region: Some("eu-1".into()),
        tenant: Some("t1".into()),
        workspace: Some("w1".into()),
    };
    let disk = |name: &str| VolumeReference { device_ref: reference(name), bus: Some(VolumeBus::Virtio) };
    let cidr = || Cidr { ipv4: Some("10.0.0.0/16".into()), ipv6: Some("fd00:1::/56".into()) };
    let storage_sku = |class| Spec::from(StorageSkuSpec { iops: 500, min_volume_size: 50, class });
    let image = |cpu_architecture, boot, initializer| {
        Spec::from(ImageSpec {
            block_storage_ref: reference("workspaces/w1/block-storages/v"),
            cpu_architecture,
            boot: Some(boot),
            initializer: Some(initializer),
        })
    };
    vec![
        Spec::from(RegionSpec {
            available_zones: vec!["a".into()],
            providers: vec![RegionProvider {
                name: "seca.compute".into(),
                version: "v1".into(),
                url: "https://x".into(),
            }],
        }),
        Spec::from(WorkspaceSpec(
            json!({"a": [1, -1, 0.5, null, true, {"b": "c"}]}).as_object().unwrap().clone(),
        )),
        Spec::from(InstanceSkuSpec { vcpu: 4, ram: 16 }),
        Spec::from(InstanceSpec {
            sku_ref: full,
            zone: "a".into(),
            boot_volume: disk("boot"),
            data_volumes: Some(vec![disk("data")]),
            primary_nic_ref: Some(reference("nics/n0")),
            additional_nic_refs: Some(vec![reference("nics/n1")]),
            security_group_ref: Some(reference("security-groups/g")),
            ssh_keys: Some(vec!["ssh-ed25519 AAAA alice".into()]),
            user_data: Some("#cloud-config\n".into()),
            anti_affinity_group: Some("apart".into()),
        }),
        storage_sku(StorageClass::LocalEphemeral),
        storage_sku(StorageClass::LocalDurable),
        storage_sku(StorageClass::RemoteDurable),
        Spec::from(BlockStorageSpec {
            size_gb: 10,
            sku_ref: reference("rd500"),
            source_image_ref: Some(Box::new(reference("tenants/public/images/debian"))),
        }),
        image(CpuArchitecture::Amd64, BootMode::Uefi, Initializer::CloudInit22),
        image(CpuArchitecture::Arm64, BootMode::Bios, Initializer::None),
        Spec::from(NetworkSkuSpec { bandwidth: 1000, packets: 10_000 }),
        Spec::from(NetworkSpec {
            cidr: cidr(),
            additional_cidrs: Some(vec![cidr()]),
            sku_ref: reference("n1k"),
        }),
        Spec::from(SubnetSpec {
            cidr: cidr(),
            route_table_ref: reference("route-tables/rt"),
            zone: "a".into(),
            sku_ref: Some(reference("n5k")),
        }),
        Spec::from(RouteTableSpec {
            routes: vec![Route {
                destination_cidr_block: "0.0.0.0/0".into(),
                target_ref: reference("internet-gateways/g"),
            }],
        }),
        Spec::from(InternetGatewaySpec { egress_only: Some(true) }),
        tenant(),
        Spec::from(HostSpec {
            zone: "a".into(),
            cordoned: true,
            overcommit: Some(Overcommit { vcpu_percent: 800, memory_percent: 90, disk_percent: 150 }),
        }),
        Spec::from(ServiceAccountSpec {
            keys: vec![AccountKey {
                kid: "2026-11".into(),
                kty: "OKP".into(),
                crv: "Ed25519".into(),
                x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into(),
            }],
        }),
        Spec::from(TokenRevocationSpec { subject: "alice@example.eu".into() }),
        Spec::from(NicSpec {
            addresses: Some(vec!["0.0.0.0".into(), "fd00:1::5".into()]),
            subnet_ref: reference("networks/n1/subnets/s"),
            public_ip_refs: Some(vec![reference("public-ips/p")]),
            security_group_refs: Some(vec![reference("security-groups/g")]),
            sku_ref: Some(reference("n5k")),
        }),
        Spec::from(PublicIpSpec { version: IpVersion::V4, address: Some("203.0.113.7".into()) }),
        Spec::from(PublicIpSpec { version: IpVersion::V6, address: None }),
        Spec::from(SecurityGroupSpec {
            rules: Some(vec![rule(Protocol::TcpAndUdp), rule(Protocol::Udp)]),
            rule_refs: Some(vec![reference("security-group-rules/r")]),
        }),
        Spec::from(rule(Protocol::Tcp)),
        Spec::from(SecurityGroupRuleSpec {
            direction: Direction::Egress,
            version: Some(IpVersion::V6),
            ports: None,
            icmp: Some(Icmp { kind: 8, code: 0 }),
            ..rule(Protocol::Icmp)
        }),
        Spec::from(AddressPoolSpec { blocks: vec!["203.0.113.0/24".into(), "2001:db8::/64".into()] }),
        Spec::from(TenantSpec {
            owners: vec!["alice@example.eu".into()],
            subjects: None,
            suspended: true,
            quota: Countable::ALL.into_iter().zip(1..).collect(),
        }),
        Spec::from(TenantSpec {
            owners: vec!["alice@example.eu".into()],
            subjects: Some(vec!["bob@example.eu".into()]),
            suspended: false,
            quota: Quota::new(),
        }),
        Spec::from(WorkspaceQuotaSpec { quota: [(Countable::Vcpu, 8)].into() }),
        Spec::from(RoleSpec {
            permissions: vec![Permission {
                provider: "seca.compute/v1".into(),
                resources: vec!["instances/*".into()],
                verb: vec!["get".into(), "post.start".into()],
            }],
        }),
        Spec::from(RoleAssignmentSpec {
            roles: vec!["seca.workspace-viewer".into()],
            subs: vec!["*".into()],
            scopes: vec![
                RoleScope::default(),
                RoleScope {
                    tenants: Some(vec!["t1".into()]),
                    regions: Some(vec!["eu-1".into()]),
                    workspaces: Some(vec!["w1".into()]),
                },
            ],
        }),
    ]
}

fn rule(protocol: Protocol) -> SecurityGroupRuleSpec {
    SecurityGroupRuleSpec {
        direction: Direction::Ingress,
        version: Some(IpVersion::V4),
        protocol: Some(protocol),
        ports: Some(Ports { from: Some(80), to: Some(90), list: Some(vec![443]) }),
        icmp: None,
        source_ref: Some(vec![reference("10.0.0.0/8"), reference("security-groups/g")]),
        annotations: Some(map(&[("note", "why")])),
    }
}
