use super::*;
use crate::command::{Command, HostAction};
use crate::fixture::*;
use rempart_api::fleet::HostReport;
use serde_json::json;

/// A world with instance `vm` (1 CPU, 1 GB, zone `a`, UEFI) waiting, and no host.
fn waiting() -> World {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    world
}

/// What `h1` is told to refuse `vm` for, if it does.
fn check(world: &World, expected: Result<(), Rule>) {
    let vm = world.get(&instance("vm"));
    assert_eq!(fits(&world.state, vm, "h1"), expected);
    chosen(world, expected.map(|()| "h1").map_err(|rule| [(rule, 1)].into()));
}

/// Which host `vm` is to go to, or how many refuse it for what.
fn chosen(world: &World, expected: Result<&str, BTreeMap<Rule, usize>>) {
    let vm = world.get(&instance("vm"));
    let verdict = verdict(&world.state, vm);
    assert_eq!(choose(&world.state, vm), verdict.host, "the index knows what a look at every host finds");
    assert_eq!(verdict.host.as_deref().ok_or(verdict.refusals), expected);
}

fn with_host(zone: &str, change: impl FnOnce(&mut HostReport)) -> World {
    let mut world = waiting();
    let mut report = host_report();
    change(&mut report);
    world.join("h1", zone, report);
    world
}

#[test]
fn a_host_that_meets_every_rule_is_chosen() {
    check(&with_host("a", |_| {}), Ok(()));
}

#[test]
fn no_host_at_all_refuses_by_no_rule() {
    let world = waiting();
    let vm = world.get(&instance("vm"));
    chosen(&world, Err(BTreeMap::new()));
    assert_eq!(fits(&world.state, vm, "h1"), Err(Rule::Unknown));
}

#[test]
fn another_zone() {
    check(&with_host("b", |_| {}), Err(Rule::Zone));
}

#[test]
fn an_agent_out_of_touch() {
    let mut world = with_host("a", |_| {});
    world.lose("h1");
    check(&world, Err(Rule::Unreachable));
}

#[test]
fn a_hypervisor_service_that_is_down() {
    check(&with_host("a", |report| report.hypervisor.available = false), Err(Rule::Hypervisor));
}

#[test]
fn no_firmware_for_what_boots_with_uefi() {
    check(&with_host("a", |report| report.virtualization.uefi = false), Err(Rule::Firmware));
}

#[test]
fn what_boots_with_bios_needs_no_uefi() {
    let mut world = World::hostless();
    world.created(&volume("source"), volume_spec(1));
    let source = "workspaces/w1/block-storages/source";
    let image = json!({"blockStorageRef": source, "cpuArchitecture": "amd64", "boot": "BIOS"});
    world.created(&Urn::tenant(Kind::Image, "t1", "i"), image);
    world.created(&volume("boot"), json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": "i"}));
    world.created(&instance("vm"), instance_spec("boot"));
    let mut report = host_report();
    report.virtualization.uefi = false;
    world.join("h1", "a", report);
    check(&world, Ok(()));
}

#[test]
fn a_volume_whose_data_is_elsewhere() {
    let mut world = World::hostless();
    world.join("h2", "a", host_report());
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("first"), instance_spec("boot"));
    world.deleted(&instance("first"));
    world.report("h2");
    world.lose("h2");
    world.created(&instance("vm"), instance_spec("boot"));
    world.join("h1", "a", host_report());
    let vm = world.get(&instance("vm"));
    assert_eq!(fits(&world.state, vm, "h1"), Err(Rule::VolumeReach));
    chosen(&world, Err([(Rule::Unreachable, 1), (Rule::VolumeReach, 1)].into()));
}

#[test]
fn another_of_its_group_in_its_workspace() {
    let group = json!({"antiAffinityGroup": "apart"});
    let mut world = with_host("a", |_| {});
    world.created(&workspace("w2"), json!({}));
    let elsewhere = |kind, name| Urn::workspace(kind, "t1", "w2", name);
    world.created(&elsewhere(Kind::BlockStorage, "boot"), volume_spec(1));
    world.created(&elsewhere(Kind::Instance, "other"), instance_with("boot", group.clone()));
    world.updated(&instance("vm"), instance_with("boot", group.clone()));
    check(&world, Ok(()));
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("second"), instance_with("boot2", group.clone()));
    check(&world, Err(Rule::AntiAffinity));
    world.updated(&instance("vm"), instance_with("boot", json!({"antiAffinityGroup": "other"})));
    check(&world, Ok(()));
}

#[test]
fn processors_are_given_out_four_times() {
    let mut world = with_host("a", |report| report.vcpus = 1);
    world.created(&Urn::tenant(Kind::InstanceSku, "t1", "three"), json!({"vCPU": 3, "ram": 1}));
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("big"), instance_with("boot2", json!({"skuRef": "three"})));
    check(&world, Ok(()));
    world.created(&volume("boot3"), volume_spec(1));
    world.created(&instance("last"), instance_spec("boot3"));
    check(&world, Err(Rule::Vcpus));
}

#[test]
fn memory_is_given_out_once() {
    let mut world = with_host("a", |report| report.memory_mib = 1024);
    check(&world, Ok(()));
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("first"), instance_spec("boot2"));
    check(&world, Err(Rule::Memory));
}

#[test]
fn a_size_that_has_gone_fits_nowhere() {
    let mut world = with_host("a", |_| {});
    world.deleted(&Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"));
    check(&world, Err(Rule::Size));
}

/// A host as operators have it, which limits volumes to its disk: 4 CPUs, 16 GB, `disk_gb`.
fn enrolled(world: &mut World, host: &str, disk_gb: u64) {
    world.enrol(host, 'a', Some("a")).unwrap();
    world.introduce(host, 'a', "a").unwrap();
    let report = HostReport { disk_mib: disk_gb << 10, ..host_report() };
    world.join(host, "a", report);
}

fn overcommit(world: &mut World, vcpu: u32, memory: u32, disk: u32) {
    let overcommit = json!({"vcpuPercent": vcpu, "memoryPercent": memory, "diskPercent": disk});
    world.updated(&Urn::global(Kind::Host, "h1"), json!({"zone": "a", "overcommit": overcommit}));
}

#[test]
fn a_host_that_has_not_introduced_itself() {
    let mut world = waiting();
    world.created(&Urn::global(Kind::Host, "h1"), json!({"zone": "a"}));
    check(&world, Err(Rule::Joining));
    world.enrol("h1", 'a', None).unwrap();
    check(&world, Err(Rule::Joining));
}

#[test]
fn a_revoked_host_and_one_that_joined_again() {
    let mut world = waiting();
    enrolled(&mut world, "h1", 1);
    check(&world, Ok(()));
    world.host_action("h1", HostAction::Revoke).unwrap();
    check(&world, Err(Rule::Revoked));
    world.enrol("h1", 'b', None).unwrap();
    check(&world, Err(Rule::Unreachable));
    world.introduce("h1", 'b', "a").unwrap();
    check(&world, Ok(()));
}

#[test]
fn a_cordoned_host_gets_nothing_new_and_keeps_what_it_has() {
    let mut world = with_host("a", |_| {});
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("before"), instance_spec("boot2"));
    world.host_action("h1", HostAction::Cordon).unwrap();
    check(&world, Err(Rule::Cordoned));
    assert_eq!(world.place(&instance("vm"), "h1").unwrap_err().class, crate::RefusalClass::Conflict);
    world.report("h1");
    world.start(&instance("before")).unwrap();
    world.host_action("h1", HostAction::Uncordon).unwrap();
    check(&world, Ok(()));
}

#[test]
fn disk_space_is_given_out_as_far_as_the_operator_allows() {
    let mut world = waiting();
    enrolled(&mut world, "h1", 3);
    world.created(&volume("boot2"), volume_spec(3));
    world.created(&instance("big"), instance_spec("boot2"));
    check(&world, Err(Rule::Disk));
    overcommit(&mut world, 400, 100, 150);
    check(&world, Ok(()));
    overcommit(&mut world, 400, 100, 100);
    world.place(&instance("vm"), "h1").unwrap_err();
    world.deleted(&instance("big"));
    world.report("h1");
    check(&world, Err(Rule::Disk));
    world.deleted(&volume("boot2"));
    check(&world, Err(Rule::Disk));
    world.report("h1");
    check(&world, Ok(()));
}

#[test]
fn every_volume_counts_but_those_that_are_there_already() {
    let mut world = World::hostless();
    for name in ["boot", "data", "more"] {
        world.created(&volume(name), volume_spec(1));
    }
    world.created(&instance("vm"), instance_with("boot", data_volumes(&["data", "more"])));
    enrolled(&mut world, "h1", 2);
    check(&world, Err(Rule::Disk));
    enrolled(&mut world, "h1", 3);
    check(&world, Ok(()));
    world.place(&instance("vm"), "h1").unwrap();
    assert_eq!(world.state.allocated("h1").disk_mib, 3 << 10);
    assert_eq!(world.state.allocated("h1").volumes, 3);
    world.deleted(&instance("vm"));
    world.report("h1");
    world.created(&instance("vm"), instance_with("boot", data_volumes(&["data", "more"])));
    check(&world, Ok(()));
}

#[test]
fn volumes_attached_or_grown_later_need_space_too() {
    let mut world = waiting();
    enrolled(&mut world, "h1", 2);
    world.place(&instance("vm"), "h1").unwrap();
    world.report("h1");
    for name in ["small", "large"] {
        world.created(&volume(name), volume_spec(if name == "small" { 1 } else { 2 }));
    }
    let attach =
        |world: &mut World, name| world.put(&instance("vm"), instance_with("boot", data_volumes(&[name])));
    refused(attach(&mut world, "large"), crate::RefusalClass::Conflict, "no room for 2 GB more");
    refused(
        world.put(&volume("boot"), volume_spec(3)),
        crate::RefusalClass::Conflict,
        "no room for 2 GB more",
    );
    attach(&mut world, "small").unwrap();
    refused(
        world.put(&volume("boot"), volume_spec(2)),
        crate::RefusalClass::Conflict,
        "no room for 1 GB more",
    );
    overcommit(&mut world, 400, 100, 200);
    world.updated(&volume("boot"), volume_spec(2));
    assert_eq!(world.state.allocated("h1").disk_mib, 3 << 10);
}

#[test]
fn hosts_of_before_volumes_were_counted_hold_any() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1000));
    world.created(&instance("vm"), instance_spec("boot"));
    world.join("h1", "a", host_report());
    check(&world, Ok(()));
}

#[test]
fn operators_say_how_often_processors_and_memory_are_given_out() {
    let mut world = waiting();
    enrolled(&mut world, "h1", 100);
    overcommit(&mut world, 10, 100, 100);
    check(&world, Err(Rule::Vcpus));
    overcommit(&mut world, 25, 10, 100);
    check(&world, Ok(()));
    world.join("h1", "a", HostReport { memory_mib: 1023, disk_mib: 1 << 20, ..host_report() });
    overcommit(&mut world, 25, 100, 100);
    check(&world, Err(Rule::Memory));
    overcommit(&mut world, 25, 101, 100);
    check(&world, Ok(()));
}

#[test]
fn software_for_other_processors_is_placed_nowhere() {
    let mut world = World::hostless();
    world.created(&volume("source"), volume_spec(1));
    let image = json!({"blockStorageRef": "workspaces/w1/block-storages/source", "cpuArchitecture": "arm64"});
    world.created(&Urn::tenant(Kind::Image, "t1", "i"), image);
    world.created(&volume("boot"), json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": "i"}));
    world.created(&instance("vm"), instance_spec("boot"));
    world.join("h1", "a", host_report());
    chosen(&world, Err([(Rule::Architecture, 1)].into()));
}

/// At admission only; what is in logs was accepted without it.
#[test]
fn size_and_image_of_a_new_instance_are_for_one_architecture() {
    let mut world = World::hostless();
    world.created(&volume("source"), volume_spec(1));
    let image = json!({"blockStorageRef": "workspaces/w1/block-storages/source", "cpuArchitecture": "arm64"});
    world.created(&Urn::tenant(Kind::Image, "t1", "i"), image);
    let boot = json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": "i"});
    world.created(&volume("boot"), boot);
    world.created(&volume("blank"), volume_spec(1));
    let said = |world: &mut World, name: &str, boot: &str| {
        let put = world.put_command(&instance(name), instance_spec(boot));
        check_architecture(&world.state, &put).map_err(|refusal| refusal.detail)
    };
    let sized = |world: &mut World, key: &str, value: &str| {
        let urn = Urn::tenant(Kind::InstanceSku, "public", "seca.dxs");
        let mut put = world.put_command(&urn, json!({"vCPU": 1, "ram": 1}));
        put.labels.insert(key.to_owned(), value.to_owned());
        world.apply(Command::Put(Box::new(put))).unwrap();
    };
    assert_eq!(said(&mut world, "vm", "boot"), Ok(()), "the size does not say");
    for (key, value) in [("Architecture", "amd64"), ("architecture", "AMD64")] {
        sized(&mut world, key, value);
        let why = said(&mut world, "vm", "boot").unwrap_err();
        assert!(why.contains("/spec/bootVolume/deviceRef: its image is for arm64"), "{why}");
        assert_eq!(said(&mut world, "vm", "blank"), Ok(()), "there is no image");
    }
    for (key, value) in [("Architecture", "arm64"), ("Architecture", "riscv"), ("arch", "amd64")] {
        sized(&mut world, key, value);
        assert_eq!(said(&mut world, "vm", "boot"), Ok(()), "{key}={value}");
    }
    world.created(&instance("vm"), instance_spec("boot"));
    sized(&mut world, "Architecture", "amd64");
    assert_eq!(said(&mut world, "vm", "boot"), Ok(()), "what is there already may be changed otherwise");
}

#[test]
fn room_is_noticed_where_it_appears_and_nowhere_else() {
    let mut world = waiting();
    world.join("h1", "a", host_report());
    world.place(&instance("vm"), "h1").unwrap();
    let index = |world: &World| world.state.applied_index();
    let mut quiet = world.state.room_changed();
    let mut check = |world: &World, made: bool, what: &str| {
        assert_eq!(world.state.room_changed(), if made { index(world) } else { quiet }, "{what}");
        quiet = world.state.room_changed();
    };
    world.report("h1");
    check(&world, false, "a report");
    world.start(&instance("vm")).unwrap();
    check(&world, false, "a start");
    world.created(&volume("boot2"), volume_spec(1));
    check(&world, false, "a volume");
    world.join("h1", "a", HostReport { boot_id: "2".into(), ..host_report() });
    check(&world, false, "the same host once more");
    world.join("h1", "a", HostReport { memory_mib: 1 << 20, ..host_report() });
    check(&world, true, "a larger host");
    world.created(&instance("second"), instance_spec("boot2"));
    assert!(world.get(&instance("second")).placement().is_some());
    check(&world, false, "an instance that did not wait");
    world.lose("h1");
    check(&world, true, "a host that changed");
    world.deleted(&instance("second"));
    check(&world, false, "a deletion that was asked for");
    world.report("h1");
    check(&world, true, "an instance that went");
    world.created(&instance("third"), instance_spec("boot2"));
    check(&world, true, "an instance that waits");
    world.created(&Urn::tenant(Kind::InstanceSku, "t1", "new"), json!({"vCPU": 1, "ram": 1}));
    check(&world, true, "a new size");
}

#[test]
fn who_waits_is_gone_through_from_where_one_was() {
    let mut world = World::hostless();
    for name in ["a", "b", "c"] {
        world.created(&volume(name), volume_spec(1));
        world.created(&instance(name), instance_spec(name));
    }
    let after = |name: &str| -> Vec<String> {
        let last = world.get(&instance(name)).urn.clone();
        world.state.waiting_after(&last).map(|object| object.urn.name.clone()).collect()
    };
    assert_eq!(after("b"), ["c", "a", "b"]);
    assert_eq!(after("c"), ["a", "b", "c"]);
}

#[test]
fn equal_demands_are_judged_once() {
    let mut world = waiting();
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("vm2"), instance_spec("boot2"));
    let verdicts = Verdicts::default();
    let of = |name| verdicts.of(&world.state, world.get(&instance(name)));
    assert!(Rc::ptr_eq(&of("vm"), &of("vm2")));
}

#[test]
fn the_most_free_memory_wins_and_the_first_name_among_equals() {
    let mut world = waiting();
    for host in ["h3", "h2", "h4"] {
        world.join(host, "a", host_report());
    }
    chosen(&world, Ok("h2"));
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("other"), instance_spec("boot2"));
    assert_eq!(
        world.get(&instance("other")).placement().map(|placement| placement.host.as_str()),
        Some("h2")
    );
    chosen(&world, Ok("h3"));
}

#[test]
fn tenant_words_complete_a_sentence_and_differ() {
    let rules = [
        Rule::Unknown,
        Rule::Size,
        Rule::Zone,
        Rule::Joining,
        Rule::Revoked,
        Rule::Unreachable,
        Rule::Hypervisor,
        Rule::Cordoned,
        Rule::Architecture,
        Rule::Firmware,
        Rule::VolumeReach,
        Rule::AntiAffinity,
        Rule::Vcpus,
        Rule::Memory,
        Rule::Disk,
    ];
    let words: std::collections::BTreeSet<_> = rules.iter().map(|rule| rule.tenant_words()).collect();
    assert_eq!(words.len(), rules.len());
}
