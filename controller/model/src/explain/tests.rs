use rempart_api::{Kind, Urn};
use serde_json::json;

use crate::command::HostAction;
use crate::fixture::*;

/// What tenant and operator are told of `vm`.
fn told(world: &World) -> (String, String, String) {
    let why = world.why(&instance("vm")).unwrap();
    (why.reason, why.tenant, why.operator)
}

#[test]
fn tenants_get_counts_and_operators_names() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    world.join("h1", "b", host_report());
    for host in ["h2", "h3"] {
        world.join(host, "a", host_report());
        world.host_action(host, HostAction::Cordon).unwrap();
    }
    let (reason, tenant, operator) = told(&world);
    assert_eq!(reason, "NoHost");
    assert!(tenant.contains("1 in another zone, 2 cordoned."), "{tenant}");
    assert!(!tenant.contains("h2"), "{tenant}");
    assert!(operator.contains("h1 in another zone; h2 cordoned; h3 cordoned."), "{operator}");
}

#[test]
fn a_long_list_of_hosts_is_cut() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    for number in 0..52 {
        world.join(&format!("h{number:02}"), "b", host_report());
    }
    let (_, tenant, operator) = told(&world);
    assert!(tenant.contains("52 in another zone"), "{tenant}");
    assert!(operator.ends_with("h49 in another zone; and 2 more."), "{operator}");
}

#[test]
fn a_size_that_has_gone_is_said_with_what_to_do() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    world.join("h1", "a", host_report());
    let sku = Urn::tenant(Kind::InstanceSku, "public", "seca.dxs");
    world.deleted(&sku);
    let (reason, tenant, _) = told(&world);
    assert_eq!(reason, "SizeGone");
    assert!(tenant.contains("skus/DXS") && tenant.contains("create it with a size that exists"), "{tenant}");
    world.created(&sku, json!({"vCPU": 1, "ram": 1}));
    world.place(&instance("vm"), "h1").unwrap();
    world.deleted(&sku);
    world.report("h1");
    assert_eq!(world.why(&instance("vm")), None, "one that was placed keeps what it was given");
}

#[test]
fn a_volume_attached_to_a_running_guest_is_seen_at_its_next_start() {
    let mut world = World::with_running_instance();
    world.created(&volume("data"), volume_spec(1));
    world.updated(&instance("vm"), instance_with("boot", data_volumes(&["data"])));
    world.report("h1");
    let (reason, tenant, _) = told(&world);
    assert_eq!(reason, "TakesEffectAtNextStart", "{tenant}");
    // Nothing else about the instance makes it forget.
    world.updated(&instance("vm"), instance_with("boot", data_volumes(&["data"])));
    world.report("h1");
    assert_eq!(told(&world).0, "TakesEffectAtNextStart");
    world.restart(&instance("vm")).unwrap();
    world.report("h1");
    assert_eq!(world.why(&instance("vm")), None);
}

#[test]
fn one_attached_while_it_is_off_needs_nothing() {
    let mut world = World::with_active_instance();
    world.created(&volume("data"), volume_spec(1));
    world.updated(&instance("vm"), instance_with("boot", data_volumes(&["data"])));
    world.report("h1");
    assert_eq!(world.why(&instance("vm")), None);
}

#[test]
fn a_host_says_in_a_word_and_a_sentence_how_it_is() {
    let mut world = World::hostless();
    let urn = Urn::global(Kind::Host, "h1");
    let check = |world: &World, word: &str, words: &str| {
        assert_eq!(world.status(&urn)["hostState"], word);
        match world.why(&urn) {
            Some(why) => assert!(!words.is_empty() && why.operator.contains(words), "{}", why.operator),
            None => assert_eq!(words, ""),
        }
    };
    world.created(&urn, json!({"zone": "a"}));
    check(&world, "joining", "mint a join token");
    world.enrol("h1", 'a', None).unwrap();
    check(&world, "joining", "check that rempart-agent runs");
    world.introduce("h1", 'a', "a").unwrap();
    check(&world, "ready", "");
    world.host_action("h1", HostAction::Cordon).unwrap();
    check(&world, "cordoned", "takes nothing new");
    let mut report = host_report();
    report.hypervisor.available = false;
    world.join("h1", "a", report);
    check(&world, "no-hypervisor", "libvirtd does not answer");
    world.lose("h1");
    check(&world, "unreachable", "out of touch");
    world.host_action("h1", HostAction::Revoke).unwrap();
    check(&world, "revoked", "with a new token");
}

#[test]
fn a_tenant_is_told_of_a_revoked_host_without_its_name() {
    let mut world = World::hostless();
    world.enrol("h1", 'a', Some("a")).unwrap();
    world.introduce("h1", 'a', "a").unwrap();
    world.join("h1", "a", rempart_api::fleet::HostReport { disk_mib: 1 << 20, ..host_report() });
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    world.host_action("h1", HostAction::Revoke).unwrap();
    let (reason, tenant, operator) = told(&world);
    assert_eq!(reason, "HostRevoked");
    assert!(!tenant.contains("h1") && operator.contains("h1"), "{tenant}");
}
