use super::*;
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
    match expected {
        Ok(()) => assert_eq!(choose(&world.state, vm), Ok("h1".into())),
        Err(rule) => assert_eq!(choose(&world.state, vm), Err([(rule, 1)].into())),
    }
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
    assert_eq!(choose(&world.state, vm), Err(BTreeMap::new()));
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
    assert_eq!(choose(&world.state, vm), Err([(Rule::Unreachable, 1), (Rule::VolumeReach, 1)].into()));
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
    check(&world, Err(Rule::Unknown));
}

#[test]
fn the_most_free_memory_wins_and_the_first_name_among_equals() {
    let mut world = waiting();
    for host in ["h3", "h2", "h4"] {
        world.join(host, "a", host_report());
    }
    let chosen = |world: &World| choose(&world.state, world.get(&instance("vm")));
    assert_eq!(chosen(&world), Ok("h2".into()));
    world.created(&volume("boot2"), volume_spec(1));
    world.created(&instance("other"), instance_spec("boot2"));
    assert_eq!(
        world.get(&instance("other")).placement().map(|placement| placement.host.as_str()),
        Some("h2")
    );
    assert_eq!(chosen(&world), Ok("h3".into()));
}

#[test]
fn tenant_words_complete_a_sentence_and_differ() {
    let rules = [
        Rule::Unknown,
        Rule::Zone,
        Rule::Unreachable,
        Rule::Hypervisor,
        Rule::Firmware,
        Rule::VolumeReach,
        Rule::AntiAffinity,
        Rule::Vcpus,
        Rule::Memory,
    ];
    let words: std::collections::BTreeSet<_> = rules.iter().map(|rule| rule.tenant_words()).collect();
    assert_eq!(words.len(), rules.len());
}
