//! Hosts, finding one for an instance, and saying why none was found.

use super::*;

const VM: fn() -> Urn = || instance("vm");

#[test]
fn an_instance_waits_for_a_host_and_says_so() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&VM(), instance_spec("boot"));
    assert_eq!(world.history(&VM()), "pending");
    assert_eq!(world.state.waiting().map(|object| object.urn.name.as_str()).collect::<Vec<_>>(), ["vm"]);
    let why = world.why(&VM()).unwrap();
    assert_eq!(why.reason, "NoHost");
    assert!(why.tenant.starts_with("No machine has joined"), "{}", why.tenant);
    world.updated(&VM(), instance_spec("boot"));
    assert_eq!(world.history(&VM()), "pending", "a PUT joins");

    world.join("h1", "a", host_report());
    assert!(world.why(&VM()).unwrap().tenant.starts_with("A machine was found"));
    assert_eq!(world.place(&VM(), "h1"), Ok(Answer::Done));
    assert_eq!(world.history(&VM()), "creating pending");
    assert_eq!(world.state.waiting().count(), 0);
    world.report("h1");
    assert_eq!(world.history(&VM()), "active creating pending");
    assert_eq!(world.version(&VM()), 2, "one PUT more than the creation");
}

#[test]
fn hosts_that_cannot_take_it_are_counted_by_rule_and_not_named() {
    let mut world = World::hostless();
    let report = host_report;
    world.join("secret-1", "b", report());
    world.join("secret-2", "b", report());
    world.join("secret-3", "a", report());
    world.lose("secret-3");
    let mut down = report();
    down.hypervisor.available = false;
    world.join("secret-4", "a", down);
    let mut legacy = report();
    legacy.virtualization.uefi = false;
    world.join("secret-5", "a", legacy);
    world.join("secret-6", "a", HostReport { vcpus: 0, ..report() });
    world.join("secret-7", "a", HostReport { memory_mib: 1023, ..report() });
    world.created(&volume("boot"), volume_spec(1));
    world.created(&VM(), instance_spec("boot"));
    let why = world.why(&VM()).unwrap();
    for words in [
        "2 in another zone",
        "1 out of touch",
        "1 with their hypervisor service down",
        "1 without UEFI firmware",
        "1 short of CPUs",
        "1 short of memory",
    ] {
        assert!(why.tenant.contains(words), "{words}: {}", why.tenant);
    }
    assert!(!why.tenant.contains("secret") && why.operator.contains("secret-6 short of CPUs"), "{why:?}");
}

#[test]
fn a_proposal_that_no_longer_holds_leaves_the_instance_waiting() {
    let mut world = World::new();
    for name in ["one", "two"] {
        world.created(&volume(name), volume_spec(1));
    }
    world.created(&Urn::tenant(Kind::InstanceSku, "t1", "big"), json!({"vCPU": 1, "ram": 16}));
    let big = |boot: &str| instance_with(boot, json!({"skuRef": "skus/big"}));
    for host in ["h1", "nobody"] {
        let name = format!("vm-{host}");
        let boot = if host == "h1" { "one" } else { "two" };
        let put = PutCommand { host: Some(host.into()), ..world.put_command(&instance(&name), big(boot)) };
        world.apply(Command::Put(Box::new(put))).unwrap();
    }
    assert_eq!(world.history(&instance("vm-h1")), "creating pending");
    assert_eq!(world.history(&instance("vm-nobody")), "pending");
    refused(world.place(&instance("vm-nobody"), "h1"), RefusalClass::Conflict, "does not fit: Memory");
    refused(world.place(&instance("vm-h1"), "h1"), RefusalClass::Conflict, "gone or placed already");
    world.deleted(&instance("vm-h1"));
    refused(world.place(&instance("vm-nobody"), "h1"), RefusalClass::Conflict, "does not fit: Memory");
    world.report("h1");
    let volume = crate::Allocation { disk_mib: 1 << 10, volumes: 1, ..crate::Allocation::default() };
    assert_eq!(world.state.allocated("h1"), volume, "its volume keeps its place");
    assert_eq!(world.place(&instance("vm-nobody"), "h1"), Ok(Answer::Done));
    assert_eq!(
        world.state.allocated("h1"),
        crate::Allocation { vcpus: 1, memory_mib: 16 << 10, disk_mib: 2 << 10, instances: 1, volumes: 2 }
    );
}

#[test]
fn what_is_not_an_instance_is_not_placed() {
    let mut world = World::new();
    world.created(&volume("data"), volume_spec(1));
    refused(world.place(&volume("data"), "h1"), RefusalClass::Conflict, "does not fit");
    let place = PlaceCommand { uid: Uuid::from_u128(99 << 90), host: "h1".into() };
    refused(world.apply(Command::Place(place)), RefusalClass::Conflict, "gone or placed already");
}

#[test]
fn a_host_out_of_touch_is_explained_to_both_audiences_until_it_is_back() {
    let mut world = World::with_running_instance();
    world.lose("h1");
    let since = world.state.core().clock.to_string();
    let why = world.why(&VM()).unwrap();
    assert_eq!(why.reason, "HostUnreachable");
    assert!(!why.tenant.contains("h1") && why.tenant.contains(&since), "{}", why.tenant);
    assert!(why.operator.contains("host h1") && why.operator.contains("rempart-agent"), "{}", why.operator);
    assert!(world.history(&VM()).starts_with("active"), "its guest may well be running");
    let host = Urn::global(Kind::Host, "h1");
    assert_eq!(world.history(&host), "error active creating pending");
    assert_eq!(world.why(&host).unwrap().reason, "Unreachable");
    let rows = world.rows();
    world.lose("h1");
    assert_eq!(world.rows(), rows);
    world.join("h1", "a", host_report());
    assert_eq!(world.history(&host), "active updating error active creating pending");
    assert_eq!((world.why(&VM()), world.why(&host)), (None, None));
}

#[test]
fn a_verdict_on_a_host_that_has_introduced_itself_since_is_void() {
    let mut world = World::with_running_instance();
    let host = Urn::global(Kind::Host, "h1");
    let judged = Some(world.get(&host).changed_index);
    let verdict = || Command::HostUnreachable(HostName { host: "h1".into(), changed_index: judged });
    world.join("h1", "a", host_report());
    world.done(verdict());
    assert_eq!(world.history(&host), "active creating pending");
    let judged = Some(world.get(&host).changed_index);
    world.done(Command::HostUnreachable(HostName { host: "h1".into(), changed_index: judged }));
    assert_eq!(world.history(&host), "error active creating pending");
}

#[test]
fn a_hypervisor_service_that_is_down_is_explained_until_it_answers() {
    let mut world = World::with_running_instance();
    let mut report = host_report();
    report.hypervisor = HypervisorHealth {
        available: false,
        reason: "qemu:///system: Connection refused".into(),
        since: Some(Timestamp::from_unix_ms(START)),
    };
    world.join("h1", "a", report);
    let why = world.why(&VM()).unwrap();
    assert_eq!(why.reason, "HypervisorUnavailable");
    assert!(!why.tenant.contains("h1") && !why.tenant.contains("qemu") && why.tenant.contains("2027-01-15T"));
    assert!(why.operator.contains("libvirtd on host h1") && why.operator.contains("Connection refused"));
    world.join("h1", "a", host_report());
    assert_eq!(world.why(&VM()), None);
}

#[test]
fn a_host_introduces_itself_from_a_zone_of_the_region_under_a_plain_name() {
    let mut world = World::new();
    let uid = world.get(&Urn::global(Kind::Host, "h1")).uid;
    let seen = |host: &str, zone: &str, uid| {
        Command::HostSeen(Box::new(HostSeen {
            host: host.into(),
            uid,
            zone: zone.into(),
            report: host_report(),
            at: None,
            key_sha256: None,
        }))
    };
    let fresh = Uuid::from_u128(50 << 90);
    refused(world.apply(seen("h2", "c", fresh)), RefusalClass::Conflict, "its zones: a, b");
    refused(world.apply(seen("h/2", "a", fresh)), RefusalClass::Conflict, "host name");
    refused(world.apply(seen("h2", "a", uid)), RefusalClass::Conflict, "in use");
    world.done(seen("h1", "a", fresh));
    assert_eq!(world.get(&Urn::global(Kind::Host, "h1")).uid, uid, "a known host keeps its identity");
    refused(
        world.apply(Command::HostUnreachable(HostName { host: "h2".into(), changed_index: None })),
        RefusalClass::NotFound,
        "hosts/h2 does not exist",
    );
}

#[test]
fn domains_nobody_asked_for_are_shown_to_operators() {
    let mut world = World::new();
    let mut report = host_report();
    report.unexpected_domains = vec![rempart_api::fleet::UnexpectedDomain {
        uuid: "u".into(),
        name: "by-hand".into(),
        running: true,
    }];
    world.join("h1", "a", report);
    let why = world.why(&Urn::global(Kind::Host, "h1")).unwrap();
    assert!(why.reason == "UnexpectedDomains" && why.operator.contains("by-hand"));
}

#[test]
fn what_was_placed_stays_where_it_is_and_pins_what_comes_later() {
    let mut world = World::with_active_instance();
    world.join("h2", "a", HostReport { memory_mib: 64 << 10, ..host_report() });
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("vm2"), instance_spec("boot2"));
    assert_eq!(world.get(&instance("vm2")).placement().unwrap().host, "h2", "most free memory");
    world.created(&volume("data"), volume_spec(1));
    world.updated(&instance("vm2"), instance_with("boot2", data_volumes(&["data"])));
    world.report("h2");
    world.updated(&instance("vm2"), instance_spec("boot2"));
    world.report("h2");
    let moved = world.put(&VM(), instance_with("boot", data_volumes(&["data"])));
    refused(moved, RefusalClass::Conflict, "has its data where this instance does not run");
    world.created(&volume("boot3"), volume_spec(1));
    world.created(&instance("vm3"), instance_with("boot3", data_volumes(&["data"])));
    assert_eq!(world.get(&instance("vm3")).placement().unwrap().host, "h2");
    world.lose("h2");
    world.deleted(&instance("vm3"));
    assert_eq!(world.why(&instance("vm3")).unwrap().reason, "HostUnreachable");
}

/// What it says again needs no entry; what is new, or not known to be so now, does.
#[test]
fn a_host_that_says_nothing_new_is_known() {
    let mut world = World::hostless();
    assert!(world.enrol("h1", '1', Some("a")).is_ok());
    let seen = HostSeen {
        host: "h1".into(),
        uid: Uuid::from_u128(0x5eef),
        zone: "a".into(),
        report: host_report(),
        at: None,
        key_sha256: Some("1".repeat(64)),
    };
    assert!(!world.state.knows_host(&seen), "it has not introduced itself yet");
    world.done(Command::HostSeen(Box::new(seen.clone())));
    assert!(world.state.knows_host(&seen));
    let other = |change: fn(&mut HostSeen)| {
        let mut seen = seen.clone();
        change(&mut seen);
        seen
    };
    for news in [
        other(|seen| seen.host = "h2".into()),
        other(|seen| seen.zone = "b".into()),
        other(|seen| seen.report.memory_mib += 1),
        other(|seen| seen.key_sha256 = Some("2".repeat(64))),
        other(|seen| seen.key_sha256 = None),
    ] {
        assert!(!world.state.knows_host(&news), "{news:?}");
    }
    world.lose("h1");
    assert!(!world.state.knows_host(&seen), "it is back, which is news");
}
