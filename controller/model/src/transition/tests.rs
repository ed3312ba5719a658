use rempart_api::standing::{Standing, StandingStep};
use rempart_api::{Kind, Phase, Urn};
use serde_json::json;

use super::*;
use crate::command::{
    Command, CompareCommand, ExpireCommand, Expired, HostAction, ObjectReport, ReportCommand, ResumeCommand,
};
use crate::fixture::*;
use crate::{Audience, Envelope, standing};

const OPERATOR: Audience = Audience { operator: true, deadline_percent: 100 };
const TENANT: Audience = Audience { operator: false, deadline_percent: 100 };

fn image() -> Urn {
    Urn::tenant(Kind::Image, "t1", "i")
}

fn image_of_boot(architecture: &str) -> serde_json::Value {
    let volume = "workspaces/w1/block-storages/boot";
    json!({"blockStorageRef": volume, "cpuArchitecture": architecture})
}

fn host() -> Urn {
    Urn::global(Kind::Host, "h1")
}

fn tenant() -> Urn {
    Urn::global(Kind::Tenant, "t1")
}

/// An object in `step`. A step without a line here does not compile.
fn brought_to(step: Step) -> (World, Urn) {
    let vm = instance("vm");
    let mut world = match step {
        Step::AwaitingHost => World::hostless(),
        Step::PreparingVolumes | Step::DefiningGuest | Step::MaterialisingVolume => World::with_instance(),
        Step::ChangingGuest | Step::StartingGuest | Step::GrowingVolume => World::with_active_instance(),
        Step::JoiningHost | Step::IntroducingHost => World::hostless(),
        _ => World::with_running_instance(),
    };
    let urn = match step {
        Step::AwaitingHost => {
            world.created(&volume("boot"), volume_spec(1));
            world.created(&vm, instance_spec("boot"));
            vm
        }
        Step::PreparingVolumes => vm,
        Step::DefiningGuest => {
            let volumes = world.honest("h1").into_iter();
            let volumes = volumes.filter(|said| matches!(said, ObjectReport::Volume(_))).collect();
            world.say("h1", volumes);
            vm
        }
        Step::ChangingGuest => {
            world.updated(&vm, instance_with("boot", json!({"sshKeys": ["ssh-ed25519 AAAA x"]})));
            vm
        }
        Step::StartingGuest => {
            world.start(&vm).unwrap();
            vm
        }
        Step::StoppingGuest => {
            world.stop(&vm).unwrap();
            vm
        }
        Step::RestartingGuest => {
            world.restart(&vm).unwrap();
            vm
        }
        Step::ReturningGuest => {
            world.say_of(&vm, |said| said.running = false);
            vm
        }
        Step::RemovingGuest => {
            world.deleted(&vm);
            vm
        }
        Step::MaterialisingVolume => volume("boot"),
        Step::GrowingVolume => {
            world.updated(&volume("boot"), volume_spec(2));
            volume("boot")
        }
        Step::RemovingVolume => {
            world.deleted(&vm);
            world.report("h1");
            world.deleted(&volume("boot"));
            volume("boot")
        }
        Step::CopyingVolume => {
            world.stop(&vm).unwrap();
            world.report("h1");
            world.created(&image(), image_of_boot("amd64"));
            image()
        }
        Step::AwaitingPowerOff => {
            world.stop(&vm).unwrap();
            world.report("h1");
            world.created(&image(), image_of_boot("amd64"));
            world.start(&vm).unwrap();
            image()
        }
        Step::Failing => {
            world.say_of(&vm, |said| said.failure = failure("Broken"));
            vm
        }
        Step::Held => {
            world.deleted(&vm);
            world.deleted(&volume("boot"));
            volume("boot")
        }
        Step::WindingDownTenant => {
            world.updated(&tenant(), json!({"owners": ["alice"], "suspended": true}));
            world.deleted(&tenant());
            tenant()
        }
        Step::SuspendingTenant => {
            world.updated(&tenant(), json!({"owners": ["alice"], "suspended": true}));
            tenant()
        }
        Step::JoiningHost => {
            world.created(&host(), json!({"zone": "a"}));
            host()
        }
        Step::IntroducingHost => {
            world.enrol("h1", 'a', Some("a")).unwrap();
            host()
        }
        Step::HostUnreachable => {
            world.lose("h1");
            host()
        }
        Step::HypervisorAway => {
            let mut report = host_report();
            report.hypervisor.available = false;
            world.join("h1", "a", report);
            host()
        }
        Step::HostRevoked => {
            world.enrol("h1", 'a', None).unwrap();
            world.host_action("h1", HostAction::Revoke).unwrap();
            host()
        }
        Step::Lost => {
            world.stop(&vm).unwrap();
            world.report("h1");
            world.created(&image(), image_of_boot("amd64"));
            let backup = world.state.clone();
            world.restore(&backup);
            world.done(Command::Compare(Box::new(CompareCommand { host: "h1".into(), things: Vec::new() })));
            world.apply(Command::Resume(ResumeCommand { without: Vec::new() })).unwrap();
            image()
        }
    };
    (world, urn)
}

fn told(world: &World, urn: &Urn, audience: Audience) -> (Standing, StandingStep) {
    let standing = standing(&world.state, world.get(urn), urn, audience);
    let step = standing.step.clone().unwrap_or_else(|| panic!("{urn} is in no step"));
    (standing, step)
}

/// As the leader judges it now.
fn judged(world: &World, urn: &Urn) -> Expired {
    let object = world.get(urn);
    let stand = stand(&world.state, object).unwrap_or_else(|| panic!("{urn} is in no step"));
    Expired {
        uid: object.uid,
        resource_version: object.resource_version,
        host_generation: object.host_generation(),
        step: stand.step,
        since: stand.since,
        after_s: limit_seconds(&world.state, object, stand.step),
    }
}

fn expire(world: &mut World, urn: &Urn) {
    let objects = vec![judged(world, urn)];
    world.done(Command::Expire(ExpireCommand { objects }));
}

#[test]
fn the_rows_are_in_the_order_of_the_steps_and_stored_by_the_names_they_show() {
    for (position, info) in STEPS.iter().enumerate() {
        assert_eq!(info.step as usize, position);
        assert_eq!(serde_json::to_value(info.step).unwrap(), info.name);
        assert!(info.limit_s >= MINUTE, "{}", info.name);
        assert!([info.waits_for, info.next, info.why].iter().all(|words| !words.is_empty()), "{}", info.name);
    }
}

#[test]
fn explain_tells_the_line_of_every_step() {
    for info in &STEPS {
        let (world, urn) = brought_to(info.step);
        let away = matches!(info.step, Step::HostUnreachable | Step::HypervisorAway | Step::HostRevoked);
        for audience in [TENANT, OPERATOR] {
            let (_, step) = told(&world, &urn, audience);
            assert_eq!(step.name, info.name, "{urn}");
            assert_eq!(step.owner, info.owner.name(), "{urn}");
            assert_eq!(step.waits_for, info.waits_for, "{urn}");
            assert!(step.next.starts_with(info.next), "{urn}: {}", step.next);
            assert_eq!(step.next.contains("its state is error"), info.then == Then::Fails, "{urn}");
            assert!(step.deadline_seconds >= info.limit_s && !step.overdue, "{urn}");
            assert_eq!(
                step.deadline.unix_ms() - step.since.unix_ms(),
                i64::try_from(step.deadline_seconds * 1000).unwrap()
            );
        }
        if urn.kind != Kind::Host {
            let (shown, _) = told(&world, &urn, TENANT);
            assert!(!serde_json::to_string(&shown).unwrap().contains("h1"), "{shown:?}");
        }
        if away {
            // What is bound to it waits for it, and says so.
            let (shown, step) = told(&world, &instance("vm"), OPERATOR);
            assert_eq!((step.name.as_str(), shown.host.as_deref()), (info.name, Some("h1")));
        }
    }
}

#[test]
fn what_is_overdue_says_so_and_fails_only_where_the_table_says_it_does() {
    for info in &STEPS {
        let (mut world, urn) = brought_to(info.step);
        let before = world.get(&urn).clone();
        expire(&mut world, &urn);
        let after = world.get(&urn).clone();
        assert_eq!(after.resource_version, before.resource_version, "{urn}: nobody asked for anything");
        assert_eq!(after.placement(), before.placement(), "{urn}");
        assert_eq!((after.deleted_at, &after.spec), (before.deleted_at, &before.spec), "{urn}");
        let failed = after.status.state == Phase::Error && before.status.state != Phase::Error;
        assert_eq!(failed, info.then == Then::Fails && info.step != Step::Failing, "{urn}: {}", info.name);
        let (shown, step) = told(&world, &urn, TENANT);
        assert!(step.overdue && step.overdue_since.is_some(), "{urn}");
        let reason = shown.reason.unwrap();
        assert!(reason == "Overdue" || reason.ends_with(":Overdue"), "{reason}");
        if urn.kind.info().has_status {
            assert_eq!(world.status(&urn)["conditions"][0]["reason"], reason, "{urn}");
        }
        // Once is enough.
        let rows = world.rows();
        world.done(Command::Expire(ExpireCommand {
            objects: vec![Expired { since: after.overdue.as_ref().unwrap().since, ..judged(&world, &urn) }],
        }));
        assert_eq!(world.rows(), rows, "{urn}: said twice");
    }
}

#[test]
fn what_has_moved_on_is_not_judged_for_where_it_was() {
    let vm = instance("vm");
    let check = |step: Step, go: &dyn Fn(&mut World)| {
        let (mut world, urn) = brought_to(step);
        let objects = vec![judged(&world, &urn)];
        go(&mut world);
        let rows = world.rows();
        world.done(Command::Expire(ExpireCommand { objects }));
        assert_eq!(world.rows(), rows, "{urn}: {step:?}");
    };
    check(Step::AwaitingHost, &|world| {
        world.join("h1", "a", host_report());
        world.place(&vm, "h1").unwrap();
    });
    check(Step::PreparingVolumes, &|world| world.report("h1"));
    check(Step::StartingGuest, &|world| world.say_of(&vm, |said| said.failure = failure("Broken")));
    check(Step::ChangingGuest, &|world| {
        world.updated(&vm, instance_with("boot", json!({"sshKeys": ["ssh-ed25519 AAAA y"]})));
    });
    check(Step::RemovingGuest, &|world| world.report("h1"));
    check(Step::HostUnreachable, &|world| {
        world.join("h1", "a", host_report());
        world.lose("h1");
    });
    let mut world = World::new();
    let nobody =
        Expired { uid: uuid::Uuid::from_u128(99), ..judged(&brought_to(Step::Held).0, &volume("boot")) };
    let rows = world.rows();
    world.done(Command::Expire(ExpireCommand { objects: vec![nobody] }));
    assert_eq!(world.rows(), rows);
}

#[test]
fn an_instance_that_waits_for_a_host_waits_however_late() {
    let (mut world, vm) = brought_to(Step::AwaitingHost);
    expire(&mut world, &vm);
    assert_eq!(world.history(&vm), "pending");
    let why = world.why(&vm).unwrap();
    assert_eq!(why.reason, "NoHost:Overdue");
    assert!(why.tenant.contains("longer than it should (10 minutes)"), "{}", why.tenant);
    world.join("h1", "a", host_report());
    world.place(&vm, "h1").unwrap();
    assert_eq!(world.history(&vm), "creating pending");
    assert_eq!(world.get(&vm).overdue, None, "that is over");
    world.report("h1");
    assert_eq!(world.history(&vm), "active creating pending");
}

#[test]
fn a_creation_that_was_late_heals_when_it_succeeds_and_not_before() {
    let (mut world, vm) = brought_to(Step::PreparingVolumes);
    expire(&mut world, &vm);
    assert_eq!(world.history(&vm), "error creating pending");
    let why = world.why(&vm).unwrap();
    assert_eq!(why.reason, "Preparing:Overdue");
    assert!(why.tenant.contains("not done within 15 minutes"), "{}", why.tenant);
    let volumes = world.honest("h1").into_iter();
    world.say("h1", volumes.filter(|said| matches!(said, ObjectReport::Volume(_))).collect());
    assert_eq!(world.history(&vm), "error creating pending", "half of it is not all");
    world.say_of(&vm, |said| said.failure = failure("Broken"));
    assert_eq!(world.why(&vm).unwrap().reason, "Broken:Overdue");
    world.report("h1");
    assert_eq!(world.history(&vm), "active creating error creating pending");
    assert_eq!((world.get(&vm).overdue.clone(), world.why(&vm)), (None, None));
}

#[test]
fn a_request_begins_anew() {
    let (mut world, vm) = brought_to(Step::ChangingGuest);
    expire(&mut world, &vm);
    assert_eq!(world.history(&vm), "error updating active creating pending");
    world.updated(&vm, instance_with("boot", json!({"sshKeys": ["ssh-ed25519 AAAA z"]})));
    assert!(world.history(&vm).starts_with("updating error updating"), "{}", world.history(&vm));
    assert_eq!(world.get(&vm).overdue, None);
    expire(&mut world, &vm);
    // What failed may be stopped, and deleted.
    world.stop(&vm).unwrap();
    world.report("h1");
    assert!(world.history(&vm).starts_with("active updating error"), "{}", world.history(&vm));
}

#[test]
fn a_copy_and_a_growth_that_were_late_end_well() {
    let (mut world, boot) = brought_to(Step::GrowingVolume);
    expire(&mut world, &boot);
    assert!(world.history(&boot).starts_with("error updating"), "{}", world.history(&boot));
    world.report("h1");
    assert!(world.history(&boot).starts_with("active updating error updating"), "{}", world.history(&boot));
    assert_eq!(world.status(&boot)["sizeGB"], 2);

    let (mut world, image) = brought_to(Step::CopyingVolume);
    expire(&mut world, &image);
    assert_eq!(world.history(&image), "error creating pending");
    world.updated(&image, image_of_boot("arm64"));
    assert_eq!(world.history(&image), "creating error creating pending", "a request begins anew");
    expire(&mut world, &image);
    let (volume, image_uid) = (world.get(&volume("boot")).uid, world.get(&image).uid);
    world.done(Command::Capture(crate::CaptureCommand {
        host: "h1".into(),
        volume,
        epoch: 1,
        image: image_uid,
        content: rempart_api::storage::BlobSpec {
            sha256: "a".repeat(64),
            format: rempart_api::storage::BlobFormat::Qcow2,
            size_bytes: 1,
            virtual_size_bytes: 1 << 30,
        },
    }));
    assert!(world.history(&image).starts_with("active creating error"), "{}", world.history(&image));
}

/// What its host has to do changes without a request, and what failed by its deadline has failed all the same.
#[test]
fn a_growth_that_failed_has_failed_also_while_the_volume_is_to_be_copied() {
    let (mut world, boot) = brought_to(Step::GrowingVolume);
    expire(&mut world, &boot);
    let before = world.get(&boot).host_generation();
    world.created(&image(), image_of_boot("amd64"));
    assert!(world.get(&boot).host_generation() > before);
    assert!(world.history(&boot).starts_with("error updating"), "{}", world.history(&boot));
    assert!(told(&world, &boot, TENANT).1.overdue);
    world.report("h1");
    assert!(world.history(&boot).starts_with("active updating error"), "{}", world.history(&boot));
}

#[test]
fn a_deletion_ends_with_the_hosts_word_however_late() {
    for step in [Step::RemovingGuest, Step::RemovingVolume] {
        let (mut world, urn) = brought_to(step);
        expire(&mut world, &urn);
        assert!(world.history(&urn).starts_with("deleting"), "{urn}");
        assert!(world.why(&urn).unwrap().reason.ends_with("Removing:Overdue"));
        world.report("h1");
        assert!(world.gone(&urn), "{urn}");
    }
}

#[test]
fn who_waits_for_a_host_that_is_away_waits_for_an_operator() {
    let (mut world, vm) = brought_to(Step::StoppingGuest);
    world.lose("h1");
    let (_, step) = told(&world, &vm, TENANT);
    assert_eq!((step.name.as_str(), step.owner.as_str()), ("stopping-guest", "operator"));
    assert_eq!(step.waits_for, Step::HostUnreachable.info().waits_for);
    expire(&mut world, &vm);
    assert_eq!(world.why(&vm).unwrap().reason, "HostUnreachable:Overdue");
    world.join("h1", "a", host_report());
    world.report("h1");
    assert!(world.history(&vm).starts_with("active updating error updating"), "{}", world.history(&vm));
}

#[test]
fn moving_bytes_takes_its_time() {
    let (world, vm) = brought_to(Step::PreparingVolumes);
    assert_eq!(limit_seconds(&world.state, world.get(&vm), Step::PreparingVolumes), 15 * MINUTE);
    let (world, image) = brought_to(Step::CopyingVolume);
    assert_eq!(limit_seconds(&world.state, world.get(&image), Step::CopyingVolume), 15 * MINUTE + 120);
    assert_eq!(
        (crate::scaled(600, 250), crate::scaled(600, 0), crate::scaled(u64::MAX, 100)),
        (1500, 1, u64::MAX / 100)
    );
}

#[test]
fn a_report_that_comes_with_the_expiry_is_of_the_same_world() {
    // Both were proposed of the same State; whichever is first in the log, the end is the same.
    let end = |expire_first: bool| {
        let (mut world, vm) = brought_to(Step::StartingGuest);
        let expire = Command::Expire(ExpireCommand { objects: vec![judged(&world, &vm)] });
        let report = Command::Report(ReportCommand { host: "h1".into(), objects: world.honest("h1") });
        let order = if expire_first { [expire, report] } else { [report, expire] };
        for command in order {
            world.done(command);
        }
        (world.get(&vm).status.state, world.get(&vm).overdue.clone(), world.power_state(&vm))
    };
    assert_eq!(end(true), end(false));
    assert_eq!(end(true), (Phase::Active, None, "on".to_owned()));
}

#[test]
fn an_entry_of_a_step_that_is_not_known_halts() {
    let (mut world, vm) = brought_to(Step::AwaitingHost);
    let objects = vec![judged(&world, &vm)];
    let entry = world.envelope(Command::Expire(ExpireCommand { objects })).encode();
    let newer = String::from_utf8(entry).unwrap().replace("awaiting-host", "awaiting-godot");
    assert!(Envelope::decode(newer.as_bytes()).is_err());
}

/// Every row of the table is a line of the operators' page, and the page has no other.
#[test]
fn the_page_for_operators_has_the_table() {
    let page = include_str!("../../../../docs/operating/deadlines.md");
    let line = |info: &StepInfo| {
        let kinds: Vec<_> = info.kinds.iter().map(|kind| kind.info().name).collect();
        let kinds = if kinds.is_empty() { "any".to_owned() } else { kinds.join(", ") };
        let mut limit = crate::explain::late::in_words(info.limit_s);
        if info.per_gib_s > 0 {
            limit.push_str(&format!(" + {} s/GiB", info.per_gib_s));
        }
        let then = match info.then {
            Then::Told => "told",
            Then::Fails => "`error`",
        };
        format!("| `{}` | {kinds} | {} | {limit} | {then} | {} |", info.name, info.owner.name(), info.why)
    };
    let lines: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = STEPS.iter().map(line).collect();
    assert_eq!(
        lines,
        expected,
        "docs/operating/deadlines.md should have these lines:\n{}",
        expected.join("\n")
    );
}
