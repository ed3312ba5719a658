//! Hosts as operators have them: enrolling, writing, cordoning, revoking, removing.

use super::*;
use HostAction::{Cordon, Revoke, Uncordon};

fn host(name: &str) -> Urn {
    Urn::global(Kind::Host, name)
}

#[test]
fn a_machine_joins_and_is_ready_when_it_introduces_itself() {
    let mut world = World::hostless();
    world.enrol("h1", 'a', Some("a")).unwrap();
    assert_eq!(world.history(&host("h1")), "creating pending");
    let identity = world.state.host_identity("h1").unwrap();
    assert_eq!((identity.key_sha256.as_str(), identity.revoked_at), ("a".repeat(64).as_str(), None));
    refused(world.introduce("h1", 'b', "a"), RefusalClass::Conflict, "another machine");
    refused(world.introduce("h2", 'a', "a"), RefusalClass::Conflict, "not enrolled");
    world.introduce("h1", 'a', "a").unwrap();
    assert_eq!(world.history(&host("h1")), "active creating pending");
    assert_eq!(world.version(&host("h1")), 1);
    world.enrol("h1", 'b', None).unwrap();
    refused(world.introduce("h1", 'a', "a"), RefusalClass::Conflict, "another machine");
    world.introduce("h1", 'b', "a").unwrap();
    assert!(world.state.host_identity("h2").is_none());
}

#[test]
fn who_enrols_has_a_sound_name_key_and_zone() {
    let mut world = World::hostless();
    let pointer = |outcome| refused(outcome, RefusalClass::Invalid, "");
    assert_eq!(pointer(world.enrol("../h1", 'a', None)), "/host");
    assert_eq!(pointer(world.enrol("h1", 'A', None)), "/keySha256");
    assert_eq!(pointer(world.enrol("h1", 'a', Some("c"))), "/zone");
    world.enrol("h1", 'a', Some("a")).unwrap();
    refused(world.enrol("h1", 'b', Some("b")), RefusalClass::Conflict, "stands in zone \"a\"");
    assert_eq!(world.state.host_identity("h1").unwrap().key_sha256, "a".repeat(64));
}

#[test]
fn the_zone_is_the_tokens_or_else_the_hosts_and_then_stays() {
    let mut world = World::hostless();
    world.enrol("h1", 'a', None).unwrap();
    world.introduce("h1", 'a', "b").unwrap();
    refused(world.introduce("h1", 'a', "a"), RefusalClass::Conflict, "was given zone \"b\"");
    world.enrol("h2", 'a', Some("a")).unwrap();
    refused(world.introduce("h2", 'a', "b"), RefusalClass::Conflict, "was given zone \"a\"");
    world.updated(&host("h2"), json!({"zone": "b"}));
    world.introduce("h2", 'a', "b").unwrap();
    let outcome = world.put(&host("h2"), json!({"zone": "a"}));
    assert_eq!(refused(outcome, RefusalClass::Invalid, "cannot be changed"), "/spec/zone");
}

#[test]
fn what_an_operator_decides_outlives_what_a_host_says() {
    let mut world = World::hostless();
    let spec = json!({"zone": "a", "overcommit": {"vcpuPercent": 200}});
    world.created(&host("h1"), spec);
    assert_eq!(world.history(&host("h1")), "creating pending");
    world.enrol("h1", 'a', None).unwrap();
    world.host_action("h1", Cordon).unwrap();
    assert_eq!((world.history(&host("h1")), world.version(&host("h1"))), ("creating pending".into(), 2));
    world.introduce("h1", 'a', "a").unwrap();
    let kept = world.get(&host("h1")).spec.to_json();
    let overcommit = json!({"vcpuPercent": 200, "memoryPercent": 100, "diskPercent": 100});
    assert_eq!(kept, json!({"zone": "a", "cordoned": true, "overcommit": overcommit}));
    world.host_action("h1", Uncordon).unwrap();
    assert_eq!(world.history(&host("h1")), "active updating active creating pending");
    world.host_action("h1", Uncordon).unwrap();
    assert_eq!(world.version(&host("h1")), 3, "what is so already changes nothing");
    world.lose("h1");
    world.updated(&host("h1"), json!({"zone": "a"}));
    assert_eq!(world.history(&host("h1")), "error updating error active updating active creating pending");
}

#[test]
fn overcommit_has_bounds() {
    let mut world = World::new();
    for (field, percent) in [("vcpuPercent", 9), ("memoryPercent", 1001), ("diskPercent", 10_001)] {
        let outcome = world.put(&host("h1"), json!({"zone": "a", "overcommit": {field: percent}}));
        assert_eq!(
            refused(outcome, RefusalClass::Invalid, "must be 10 to"),
            format!("/spec/overcommit/{field}")
        );
    }
}

#[test]
fn a_revoked_host_counts_no_more_until_it_enrols_again() {
    let mut world = World::hostless();
    world.join("h0", "a", host_report());
    refused(world.host_action("h0", Revoke), RefusalClass::Conflict, "never enrolled");
    world.enrol("h1", 'a', None).unwrap();
    world.introduce("h1", 'a', "a").unwrap();
    world.host_action("h1", Revoke).unwrap();
    assert_eq!(world.history(&host("h1")), "error updating active creating pending");
    assert!(world.state.host_identity("h1").unwrap().revoked_at.is_some());
    world.host_action("h1", Revoke).unwrap();
    assert_eq!(world.version(&host("h1")), 2);
    refused(world.introduce("h1", 'a', "a"), RefusalClass::Conflict, "was revoked");
    let report = ReportCommand { host: "h1".into(), objects: Vec::new() };
    assert!(world.state.report_changes_anything(&report));
    refused(world.apply(Command::Report(report)), RefusalClass::Conflict, "was revoked");
    world.enrol("h1", 'b', None).unwrap();
    world.introduce("h1", 'b', "a").unwrap();
    assert_eq!(world.history(&host("h1")), "active updating error updating active creating pending");
}

#[test]
fn only_hosts_are_cordoned_and_at_the_version_that_was_read() {
    let mut world = World::with_instance();
    let act =
        |urn: Urn, version| Command::Host(HostCommand { urn, if_unmodified_since: version, action: Cordon });
    refused(world.apply(act(instance("vm"), None)), RefusalClass::Conflict, "is not a host");
    refused(world.apply(act(host("h9"), None)), RefusalClass::NotFound, "does not exist");
    refused(world.apply(act(host("h1"), Some(9))), RefusalClass::PreconditionFailed, "has version 1");
}

#[test]
fn a_host_goes_only_when_nothing_is_bound_to_it_and_takes_its_identity_along() {
    let mut world = World::hostless();
    world.enrol("h1", 'a', Some("a")).unwrap();
    world.introduce("h1", 'a', "a").unwrap();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    refused(world.delete(&host("h1")), RefusalClass::Conflict, "holds 1 instance and 1 volume;");
    world.deleted(&instance("vm"));
    world.report("h1");
    refused(world.delete(&host("h1")), RefusalClass::Conflict, "holds 0 instances and 1 volume;");
    world.deleted(&volume("boot"));
    refused(world.delete(&host("h1")), RefusalClass::Conflict, "holds 0 instances and 1 volume;");
    world.report("h1");
    // A machine that will never come back can be removed.
    world.lose("h1");
    world.deleted(&host("h1"));
    assert!(world.gone(&host("h1")) && world.state.host_identity("h1").is_none());
    refused(world.introduce("h1", 'a', "a"), RefusalClass::Conflict, "not enrolled, or was deleted");
}

#[test]
fn a_report_that_tells_nothing_new_is_known_for_one() {
    let mut world = World::with_instance();
    let report = ReportCommand { host: "h1".into(), objects: world.honest("h1") };
    assert!(world.state.report_changes_anything(&report));
    world.done(Command::Report(report.clone()));
    let rows = world.rows();
    assert!(!world.state.report_changes_anything(&report));
    world.done(Command::Report(report));
    assert_eq!(world.rows(), rows);
}
