use rempart_api::{Kind, Phase, Timestamp, Urn};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::command::{
    Command, CompareCommand, HostAction, RedeemCommand, ReplicaCommand, ReplicaIntent, ResumeCommand, Thing,
    ThingSort, TokenUse,
};
use crate::fixture::{World, host_report, instance, instance_spec, volume, volume_spec, workspace};
use crate::object::{Detail, OffCause, VolumeDetail};
use crate::transition::{Step, stand};
use crate::{Answer, Outcome, RefusalClass, orphans};

/// A world that was restored from itself.
fn restored(mut world: World) -> World {
    let backup = world.state.clone();
    world.restore(&backup);
    world
}

fn image(name: &str) -> Urn {
    Urn::tenant(Kind::Image, "t1", name)
}

/// Of the boot volume.
fn image_spec() -> Value {
    json!({"blockStorageRef": "workspaces/w1/block-storages/boot", "cpuArchitecture": "amd64"})
}

fn thing(world: &World, urn: &Urn) -> Thing {
    let sort = if urn.kind == Kind::Instance { ThingSort::Instance } else { ThingSort::Volume };
    Thing { uid: world.get(urn).uid, sort, here: true, going: false, running: false, off_cause: None }
}

fn compare(world: &mut World, host: &str, things: Vec<Thing>) -> Outcome {
    world.apply(Command::Compare(Box::new(CompareCommand { host: host.into(), things })))
}

fn compared(world: &mut World, host: &str, things: Vec<Thing>) {
    assert_eq!(compare(world, host, things), Ok(Answer::Done));
}

fn resume(world: &mut World, without: &[&str]) -> Outcome {
    let without = without.iter().map(|host| (*host).to_owned()).collect();
    world.apply(Command::Resume(ResumeCommand { without }))
}

fn refused(outcome: Outcome, words: &str) {
    let refusal = outcome.expect_err("it is refused");
    assert_eq!(refusal.class, RefusalClass::Conflict, "{refusal:?}");
    assert!(refusal.detail.contains(words), "{refusal:?}");
}

fn volume_detail<'a>(world: &'a World, urn: &Urn) -> &'a VolumeDetail {
    match &world.get(urn).detail {
        Detail::Volume(volume) => volume,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restored_cluster_is_read_only_until_its_hosts_were_compared() {
    let mut world = restored(World::with_running_instance());
    assert_eq!(world.state.core().incarnation, 2);
    let tenants = [
        world.stop(&instance("vm")),
        world.delete(&instance("vm")),
        world.put(&volume("more"), volume_spec(1)),
        world.put(&workspace("w2"), serde_json::json!({})),
    ];
    for outcome in tenants {
        refused(outcome, "is read-only until it has been compared with its hosts: 1 of 1 hosts");
    }
    // No tenant reads a host's name.
    let refusal = world.stop(&instance("vm")).unwrap_err();
    assert!(!refusal.detail.contains("h1"), "{refusal:?}");
    refused(resume(&mut world, &[]), "these hosts have not said yet what they have: h1");
    refused(resume(&mut world, &["h9"]), "there is no host");
    let things =
        vec![Thing { running: true, ..thing(&world, &instance("vm")) }, thing(&world, &volume("boot"))];
    let before = world.rows();
    compared(&mut world, "h1", things);
    assert_eq!(world.rows(), before, "what is as it was changes nothing");
    assert!(world.state.read_only().is_some(), "it is the leader that opens it");
    assert_eq!(resume(&mut world, &[]), Ok(Answer::Accepted));
    assert!(world.state.read_only().is_none());
    assert!(world.state.core().restored.as_ref().unwrap().opened_at.is_some());
    refused(compare(&mut world, "h1", Vec::new()), "not waiting");
    assert_eq!(resume(&mut world, &[]), Ok(Answer::Accepted));
    world.report("h1");
    assert_eq!(world.stop(&instance("vm")), Ok(Answer::Accepted));
}

#[test]
fn what_helps_out_works_meanwhile() {
    let mut world = World::with_running_instance();
    world.enrol("h2", 'b', Some("a")).unwrap();
    let mut world = restored(world);
    assert_eq!(world.host_action("h1", HostAction::Cordon), Ok(Answer::Accepted));
    world.enrol("h3", 'c', Some("a")).unwrap();
    world.introduce("h3", 'c', "a").unwrap();
    world.lose("h1");
    let revocation = Urn::global(Kind::TokenRevocation, "r");
    world.created(&revocation, serde_json::json!({"subject": "alice"}));
    assert_eq!(world.state.awaited(&[]).unwrap().hosts, ["h1", "h2", "h3"]);
    // A revoked one is not waited for, nor believed.
    assert_eq!(world.host_action("h2", HostAction::Revoke), Ok(Answer::Accepted));
    refused(compare(&mut world, "h2", Vec::new()), "was revoked");
    compared(&mut world, "h3", Vec::new());
    assert_eq!(world.state.awaited(&[]).unwrap().hosts, ["h1"]);
    assert_eq!(resume(&mut world, &["h1"]), Ok(Answer::Accepted));
}

#[test]
fn a_cluster_that_was_not_restored_is_not_resumed() {
    let mut world = World::new();
    world.state.core.version = crate::version::ClusterVersion::NEWEST;
    refused(resume(&mut world, &[]), "was not restored");
    refused(compare(&mut world, "h1", Vec::new()), "not waiting");
}

#[test]
fn every_epoch_is_above_those_of_before_and_old_reports_are_dropped() {
    let mut world = World::with_running_instance();
    world.created(&volume("later"), volume_spec(1));
    let (old, backup) = (world.honest("h1"), world.state.clone());
    let before = world.detail(&instance("vm")).epoch;
    world.restore(&backup);
    let epoch = world.detail(&instance("vm")).epoch;
    assert!(epoch > before + (1 << 40), "{epoch}");
    assert_eq!(world.get(&instance("vm")).placement().unwrap().epoch, epoch);
    assert!(volume_detail(&world, &volume("boot")).placement.as_ref().unwrap().epoch > 1 << 40);
    // Once more: above that as well.
    let again = world.state.clone();
    world.restore(&again);
    assert!(world.detail(&instance("vm")).epoch > epoch + (1 << 39));
    let rows = world.rows();
    world.say("h1", old);
    assert_eq!(world.rows(), rows, "a report of another life counts for nothing");
    // What was bound to no host gets none of the epochs of before either.
    let things = vec![thing(&world, &instance("vm")), thing(&world, &volume("boot"))];
    compared(&mut world, "h1", things);
    resume(&mut world, &[]).unwrap();
    world.created(&instance("second"), instance_spec("later"));
    assert!(volume_detail(&world, &volume("later")).placement.as_ref().unwrap().epoch > 3 << 40);
}

/// Compares one instance, which State says to be `on`, with what its host has; and says what is wanted then.
fn check_power(on: bool, change: impl FnOnce(&mut Thing), wanted: bool) {
    let world = if on { World::with_running_instance() } else { World::with_active_instance() };
    let mut world = restored(world);
    let mut vm = thing(&world, &instance("vm"));
    change(&mut vm);
    let things = vec![thing(&world, &volume("boot")), vm.clone()];
    compared(&mut world, "h1", things);
    assert_eq!(world.detail(&instance("vm")).power.on, wanted, "{on} {vm:?}");
    resume(&mut world, &[]).unwrap();
}

#[test]
fn power_becomes_what_is_real_where_that_is_known() {
    check_power(false, |vm| vm.running = true, true);
    check_power(false, |_| {}, false);
    check_power(true, |vm| vm.running = true, true);
    for cause in [OffCause::Guest, OffCause::Requested, OffCause::Crashed] {
        check_power(true, |vm| vm.off_cause = Some(cause), false);
    }
    check_power(true, |vm| vm.going = true, false);
    // Nobody knows why: it may have been the host's power.
    check_power(true, |_| {}, true);
    check_power(true, |vm| vm.here = false, true);
}

#[test]
fn what_was_bound_after_the_backup_is_bound_where_it_is() {
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&volume("free"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    assert_eq!(world.history(&instance("vm")), "pending");
    world.join("h1", "a", host_report());
    world.join("h2", "a", host_report());
    let mut world = restored(world);
    let things = vec![
        Thing { running: true, ..thing(&world, &instance("vm")) },
        thing(&world, &volume("boot")),
        thing(&world, &volume("free")),
    ];
    compared(&mut world, "h2", things);
    compared(&mut world, "h1", Vec::new());
    for urn in [instance("vm"), volume("boot"), volume("free")] {
        assert_eq!(world.get(&urn).placement().unwrap().host, "h2", "{urn}");
    }
    assert!(world.detail(&instance("vm")).power.on);
    resume(&mut world, &[]).unwrap();
    world.report("h2");
    assert_eq!(world.power_state(&instance("vm")), "on");
    assert_eq!(world.get(&instance("vm")).status.state, Phase::Active);
}

#[test]
fn what_is_elsewhere_is_a_conflict_until_somebody_decides() {
    let mut world = World::with_running_instance();
    world.join("h2", "a", host_report());
    let mut world = restored(world);
    let here =
        vec![Thing { running: true, ..thing(&world, &instance("vm")) }, thing(&world, &volume("boot"))];
    compared(&mut world, "h1", here.clone());
    compared(&mut world, "h2", here.clone());
    assert_eq!(world.state.awaited(&[]).unwrap().conflicts.len(), 2);
    refused(resume(&mut world, &[]), "is bound to host h1, and h2 has it");
    refused(world.stop(&instance("vm")), "2 things are where they should not be");
    assert_eq!(world.get(&instance("vm")).placement().unwrap().host, "h1");
    // What a host only is to remove, and has removed, is no conflict.
    let going = here.iter().map(|thing| Thing { here: false, going: true, running: false, ..thing.clone() });
    compared(&mut world, "h2", going.collect());
    assert_eq!(world.state.awaited(&[]).unwrap().conflicts, []);
    compared(&mut world, "h2", here);
    assert_eq!(resume(&mut world, &["h2"]), Ok(Answer::Accepted));
}

#[test]
fn an_instance_whose_volume_is_bound_elsewhere_is_not_bound_by_halves() {
    let mut world = World::hostless();
    for name in ["boot", "data"] {
        world.created(&volume(name), volume_spec(1));
    }
    let data = serde_json::json!([{ "deviceRef": "block-storages/data" }]);
    let mut spec = instance_spec("boot");
    spec["dataVolumes"] = data;
    world.created(&instance("vm"), spec);
    world.join("h1", "a", host_report());
    world.join("h2", "a", host_report());
    let mut world = restored(world);
    let data = vec![thing(&world, &volume("data"))];
    compared(&mut world, "h1", data);
    let things = vec![thing(&world, &instance("vm"))];
    compared(&mut world, "h2", things);
    assert!(world.get(&instance("vm")).placement().is_none());
    assert!(world.get(&volume("boot")).placement().is_none(), "not half of it");
    let conflicts = world.state.awaited(&[]).unwrap().conflicts;
    assert!(matches!(&conflicts[..], [(host, _)] if host == "h2"), "{conflicts:?}");
}

#[test]
fn what_has_no_row_is_shown_and_left_alone() {
    let mut world = restored(World::with_running_instance());
    let stray = Thing {
        uid: Uuid::from_u128(77),
        sort: ThingSort::Instance,
        here: true,
        going: false,
        running: true,
        off_cause: None,
    };
    let mut things =
        vec![thing(&world, &volume("boot")), Thing { running: true, ..thing(&world, &instance("vm")) }];
    things.push(stray);
    compared(&mut world, "h1", things);
    let listed = orphans(&world.state);
    let [only] = &listed.items[..] else { panic!("{listed:?}") };
    assert!(
        only.running && only.repair.is_none() && only.id.ends_with(&Uuid::from_u128(77).to_string()),
        "{only:?}"
    );
    resume(&mut world, &[]).unwrap();
    assert_eq!(orphans(&world.state).items, [], "from now on the host reports it");
}

#[test]
fn what_is_gone_is_neither_removed_nor_made_anew() {
    let mut world = restored(World::with_running_instance());
    compared(&mut world, "h1", Vec::new());
    assert_eq!(world.state.core().restored.as_ref().unwrap().hosts["h1"].gone, 2);
    assert!(!world.detail(&instance("vm")).power.on);
    resume(&mut world, &[]).unwrap();
    let boot = volume_detail(&world, &volume("boot"));
    assert!(boot.gone);
    assert_eq!(boot.realised.failure.as_ref().unwrap().reason, "VolumeLost");
    assert_eq!(world.state.desired(world.get(&volume("boot"))), None, "its host is not told to make it");
    assert!(orphans(&world.state).items.iter().any(|one| one.message.contains("delete it")));
    // Its tenant deletes both; its host says that there is nothing.
    world.deleted(&instance("vm"));
    world.report("h1");
    world.deleted(&volume("boot"));
    world.report("h1");
    assert!(world.gone(&instance("vm")) && world.gone(&volume("boot")));
}

#[test]
fn what_was_done_with_what_is_gone_ends() {
    let mut world = World::with_active_instance();
    world.updated(&volume("boot"), volume_spec(20));
    world.created(&image("copy"), image_spec());
    assert_eq!(world.status(&volume("boot"))["state"], "updating");
    assert_eq!(world.status(&image("copy"))["state"], "creating");
    let mut world = restored(world);
    compared(&mut world, "h1", Vec::new());
    assert_eq!(world.status(&volume("boot"))["state"], "active", "it does not grow for ever");
    let said = world.why(&volume("boot")).unwrap();
    assert!(said.reason == "VolumeLost" && said.tenant.ends_with("delete it."), "{said:?}");
    assert_eq!(world.history(&image("copy")), "error creating pending");
    let said = world.why(&image("copy")).unwrap();
    assert!(said.reason == "VolumeLost" && said.tenant.ends_with("delete it."), "{said:?}");
    assert_eq!(stand(&world.state, world.get(&image("copy"))).unwrap().step, Step::Lost);
    resume(&mut world, &[]).unwrap();

    refused(world.put(&volume("boot"), volume_spec(30)), "had no bytes");
    refused(world.put(&image("other"), image_spec()), "had no bytes");
    let of_it = json!({"sizeGB": 30, "skuRef": "rd100", "sourceImageRef": "images/copy"});
    refused(world.put(&volume("of"), of_it), "not complete");
    // Labels change it into nothing else.
    world.updated(&image("copy"), image_spec());
    assert_eq!(world.status(&image("copy"))["state"], "error");

    // Either goes without the other.
    world.deleted(&instance("vm"));
    world.report("h1");
    world.deleted(&volume("boot"));
    world.report("h1");
    assert!(world.gone(&volume("boot")));
    assert_eq!(world.why(&image("copy")).unwrap(), said);
    world.deleted(&image("copy"));
    assert!(world.gone(&image("copy")));
}

#[test]
fn a_deleted_volume_that_is_gone_is_not_held_for_its_image() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    world.report("h1");
    world.created(&image("copy"), image_spec());
    world.deleted(&volume("boot"));
    assert!(!world.gone(&volume("boot")), "it is copied first");
    let mut world = restored(world);
    compared(&mut world, "h1", Vec::new());
    resume(&mut world, &[]).unwrap();
    world.report("h1");
    assert!(world.gone(&volume("boot")));
    assert_eq!(world.status(&image("copy"))["state"], "error");
}

#[test]
fn what_comes_back_before_the_opening_is_taken_back() {
    let mut world = restored(World::with_active_instance());
    compared(&mut world, "h1", Vec::new());
    assert!(volume_detail(&world, &volume("boot")).gone);
    let things = vec![thing(&world, &volume("boot")), thing(&world, &instance("vm"))];
    compared(&mut world, "h1", things);
    let boot = volume_detail(&world, &volume("boot"));
    assert!(!boot.gone && boot.realised.failure.is_none());
    assert_eq!(world.state.core().restored.as_ref().unwrap().hosts["h1"].gone, 0);
}

#[test]
fn what_was_used_up_or_called_back_after_the_backup_counts_no_more() {
    let mut world = restored(World::new());
    let restored_at = world.state.core().restored.as_ref().unwrap().restored_at;
    let ms = u64::try_from(restored_at.unix_ms()).unwrap();
    let id = |ms: u64| {
        let at =
            uuid::Timestamp::from_unix_time(ms / 1000, u32::try_from(ms % 1000).unwrap() * 1_000_000, 0, 0);
        uuid::Builder::from_unix_timestamp_millis(at.to_unix().0 * 1000 + ms % 1000, &[1; 10]).into_uuid()
    };
    let redeem = |world: &mut World, id| {
        let expires_at = Timestamp::from_unix_ms(world.clock + 60_000);
        let token = TokenUse { id, expires_at };
        world.apply(Command::Redeem(RedeemCommand { token, purpose: "test".into(), urn: None }))
    };
    refused(redeem(&mut world, id(ms - 1)), "older than the restore");
    refused(redeem(&mut world, id(ms)), "older than the restore");
    assert_eq!(redeem(&mut world, id(ms + 1)), Ok(Answer::Accepted));
    assert_eq!(world.state.revoked_until("anybody"), Some(restored_at));
    let join = |replica_id| {
        let intent = ReplicaIntent::Join { address: "h:1".into() };
        Command::Replica(ReplicaCommand { replica_id, intent })
    };
    refused(world.apply(join(6)), "before this installation was restored");
    assert_eq!(world.apply(join(8)), Ok(Answer::Accepted));
}
