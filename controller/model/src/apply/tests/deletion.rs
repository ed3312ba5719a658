//! DELETE: what refuses it, what it waits for.

use super::*;
use crate::object::Object;

#[test]
fn what_holds_nothing_goes_at_once() {
    let mut world = World::new();
    world.created(&volume("data"), volume_spec(1));
    world.deleted(&volume("data"));
    assert!(world.gone(&volume("data")));
    refused(world.delete(&volume("data")), RefusalClass::NotFound, "does not exist");
}

#[test]
fn what_still_lives_in_it_refuses_deletion() {
    let mut world = World::new();
    world.created(&volume("data"), volume_spec(1));
    refused(
        world.delete(&workspace("w1")),
        RefusalClass::Conflict,
        "still holds 1 resource; delete what is in it",
    );
    refused(
        world.delete(&Urn::global(Kind::Tenant, "t1")),
        RefusalClass::Conflict,
        "still holds 2 resources. Suspend it first",
    );
    world.created(&network("net"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "n1k"}));
    refused(world.delete(&workspace("w1")), RefusalClass::Conflict, "still holds 2 resources");
    let gateway = json!({"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": "instances/x"}]});
    world.created(&Urn::network(Kind::RouteTable, "t1", "w1", "net", "rt"), gateway);
    refused(world.delete(&network("net")), RefusalClass::Conflict, "still holds 1 resource");
}

#[test]
fn a_whole_stack_is_deleted_back_to_back_and_goes_when_the_host_is_done() {
    let mut world = World::with_running_instance();
    let stack = [instance("vm"), volume("boot"), workspace("w1"), Urn::global(Kind::Tenant, "t1")];
    for urn in &stack {
        world.deleted(urn);
        assert!(world.get(urn).is_deleting() && world.history(urn).starts_with("deleting active"), "{urn}");
    }
    // The volume is desired present as long as the instance is there.
    world.report("h1");
    assert!(world.gone(&instance("vm")));
    assert!(!world.gone(&volume("boot")) && !world.gone(&workspace("w1")));
    world.report("h1");
    for urn in &stack {
        assert!(world.gone(urn), "{urn}");
    }
}

#[test]
fn who_drives_a_host_hears_that_a_deleted_volume_is_free_to_go() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    world.say(
        "h1",
        world.honest("h1").into_iter().filter(|report| matches!(report, ObjectReport::Volume(_))).collect(),
    );
    let objects = world.honest("h1");
    let report = world.envelope(Command::Report(ReportCommand { host: "h1".into(), objects }));
    let applied = world.apply_envelope(&report);
    let changed: Vec<_> = applied.changes.iter().map(|change| change.urn.name.as_str()).collect();
    assert_eq!(changed, ["vm", "boot"], "the volume's desired state changed with the instance's end");
    let (before, after) = (applied.changes[1].before.clone().unwrap(), world.get(&volume("boot")));
    let as_before = Object { changed_index: after.changed_index, ..(*before).clone() };
    assert_eq!(*after, as_before, "there was nothing to change but that it is heard of");
}

#[test]
fn a_used_volume_refuses_deletion_until_its_user_is_going() {
    let mut world = World::with_active_instance();
    refused(world.delete(&volume("boot")), RefusalClass::Conflict, "used by seca.compute/v1/tenants/t1");
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    assert_eq!(world.why(&volume("boot")).unwrap().reason, "InUse");
}

#[test]
fn a_volume_survives_its_instance() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    world.report("h1");
    assert!(world.gone(&instance("vm")));
    assert_eq!(world.history(&volume("boot")), "active creating pending");
    world.created(&instance("vm"), instance_spec("boot"));
    assert_eq!(world.get(&instance("vm")).placement().unwrap().host, "h1");
}

#[test]
fn deleting_again_changes_nothing_and_putting_is_refused() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    let rows = world.rows();
    world.deleted(&instance("vm"));
    assert_eq!(world.rows(), rows);
    refused(
        world.put(&instance("vm"), instance_spec("boot")),
        RefusalClass::Conflict,
        "its name is free again once",
    );
    refused(world.start(&instance("vm")), RefusalClass::Conflict, "is deleting");
}

#[test]
fn nothing_is_created_in_what_is_going() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    world.deleted(&workspace("w1"));
    refused(
        world.put(&volume("new"), volume_spec(1)),
        RefusalClass::Conflict,
        "nothing can be created in it",
    );
    assert_eq!(
        world.why(&workspace("w1")).unwrap().tenant,
        "waits for 2 resources in it that are being deleted"
    );
}

#[test]
fn an_instance_deleted_before_its_host_heard_of_it_goes_with_the_hosts_word() {
    let mut world = World::with_instance();
    world.deleted(&instance("vm"));
    assert_eq!(world.history(&instance("vm")), "deleting creating pending");
    assert_eq!(world.version(&instance("vm")), 2);
    // What the host said before it heard of the deletion does not count.
    world.say_of(&instance("vm"), |report| (report.generation, report.present) = (1, false));
    assert!(!world.gone(&instance("vm")));
    world.report("h1");
    assert!(world.gone(&instance("vm")));
}

#[test]
fn an_instance_without_a_host_goes_at_once() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    world.deleted(&instance("vm"));
    assert!(world.gone(&instance("vm")));
    assert_eq!(world.state.waiting().count(), 0);
}

#[test]
fn a_volume_in_use_is_not_gone_because_its_host_failed_to_make_it() {
    let mut world = World::with_instance();
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    let uid = world.get(&volume("boot")).uid;
    let missing = |failure| VolumeReport {
        uid,
        generation: 2,
        epoch: 1,
        present: false,
        failure,
        capture_failure: None,
    };
    for report in [missing(None), missing(failure("ImageMissing"))] {
        world.say("h1", vec![ObjectReport::Volume(report)]);
        assert!(world.get(&volume("boot")).placement().is_some());
    }
    world.report("h1");
    world.say("h1", vec![ObjectReport::Volume(missing(failure("ImageMissing")))]);
    assert!(!world.gone(&volume("boot")), "a failure is no absence");
    world.report("h1");
    assert!(world.gone(&volume("boot")));
}

#[test]
fn a_name_used_again_is_another_incarnation() {
    let mut world = World::with_active_instance();
    let first = world.get(&instance("vm")).clone();
    world.deleted(&instance("vm"));
    world.report("h1");
    world.created(&instance("vm"), instance_spec("boot"));
    let second = world.get(&instance("vm"));
    assert_ne!(first.uid, second.uid);
    assert_eq!(second.resource_version, 1);
    let late = InstanceReport { uid: first.uid, ..instance_report(&world.state, second) };
    world.say("h1", vec![ObjectReport::Instance(late)]);
    assert_eq!(world.history(&instance("vm")), "creating pending", "words about the old one");
}

#[test]
fn a_host_that_holds_something_stays() {
    let mut world = World::with_active_instance();
    let host = Urn::global(Kind::Host, "h1");
    refused(world.delete(&host), RefusalClass::Conflict, "still holds");
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    world.report("h1");
    world.report("h1");
    world.deleted(&host);
    assert!(world.gone(&host));
}
