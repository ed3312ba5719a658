use rempart_api::fleet::{HostReport, UnexpectedDomain};
use rempart_api::{Kind, Urn};
use uuid::Uuid;

use super::*;
use crate::answer::{Answer, Outcome};
use crate::command::{Command, HostAction, LeftoverCommand, ReleaseCommand};
use crate::fixture::*;
use crate::refusal::RefusalClass;

const STRAY: Uuid = Uuid::from_u128(0xabc);

fn left(parts: &[LeftoverPart]) -> Leftover {
    Leftover { uid: STRAY, parts: parts.to_vec(), bytes: 4096, running: false, trouble: String::new() }
}

fn says(world: &mut World, leftovers: Vec<Leftover>) {
    world.join("h1", "a", HostReport { leftovers, ..host_report() });
}

fn order(world: &mut World, action: LeftoverAction) -> Outcome {
    world.apply(Command::Leftover(LeftoverCommand { host: "h1".into(), uid: STRAY, action }))
}

fn release(world: &mut World, urn: &Urn) -> Outcome {
    let uid = world.get(urn).uid;
    world.apply(Command::Release(ReleaseCommand { host: "h1".into(), uid }))
}

fn only(world: &World) -> Orphan {
    let mut found = orphans(&world.state).items;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_leftover_is_moved_aside_and_then_removed_each_on_an_order() {
    use LeftoverAction::{Quarantine, Remove};
    let host = Urn::global(Kind::Host, "h1");
    let mut world = World::new();
    refused(order(&mut world, Quarantine), RefusalClass::NotFound, "has not said");
    says(&mut world, vec![left(&[LeftoverPart::Domain, LeftoverPart::Volume])]);
    let orphan = only(&world);
    assert_eq!((orphan.class, orphan.repair), (OrphanClass::Leftover, Some(Repair::Quarantine)));
    assert_eq!((orphan.id, orphan.bytes), (format!("h1:{STRAY}"), Some(4096)));
    refused(order(&mut world, Remove), RefusalClass::Conflict, "quarantine it first");
    let version = world.version(&host);
    assert_eq!(order(&mut world, Quarantine), Ok(Answer::Accepted));
    assert_eq!(world.version(&host), version, "it is no change of the host");
    assert_eq!((only(&world).repair, only(&world).ordered), (None, Some(Repair::Quarantine)));
    // It stands until the host says that it is done, whatever else it says.
    says(&mut world, vec![left(&[LeftoverPart::Volume, LeftoverPart::Quarantined])]);
    assert_eq!(only(&world).ordered, Some(Repair::Quarantine));
    says(&mut world, vec![left(&[LeftoverPart::Quarantined])]);
    let orphan = only(&world);
    assert_eq!((orphan.class, orphan.repair), (OrphanClass::Quarantined, Some(Repair::Remove)));
    assert_eq!(orphan.ordered, None);
    refused(order(&mut world, Quarantine), RefusalClass::Conflict, "moved aside already");
    assert_eq!(order(&mut world, Remove), Ok(Answer::Accepted));
    says(&mut world, Vec::new());
    assert_eq!(orphans(&world.state).items, []);
    assert!(matches!(&world.get(&host).detail, Detail::Host(host) if host.orders.is_empty()));
}

#[test]
fn what_has_a_row_or_runs_is_not_touched() {
    let mut world = World::with_active_instance();
    let uid = world.get(&volume("boot")).uid;
    says(&mut world, vec![Leftover { uid, ..left(&[LeftoverPart::Volume]) }]);
    assert_eq!(orphans(&world.state).items, [], "it is bound there");
    let command = LeftoverCommand { host: "h1".into(), uid, action: LeftoverAction::Quarantine };
    refused(world.apply(Command::Leftover(command)), RefusalClass::Conflict, "block-storages/boot");
    says(&mut world, vec![Leftover { running: true, ..left(&[LeftoverPart::Domain]) }]);
    assert_eq!((only(&world).repair, only(&world).running), (None, true));
    refused(order(&mut world, LeftoverAction::Quarantine), RefusalClass::Conflict, "virsh shutdown");
}

#[test]
fn only_what_is_being_deleted_is_released_and_only_from_a_revoked_host() {
    let mut world = World::with_active_instance();
    let (vm, boot) = (instance("vm"), volume("boot"));
    world.enrol("h1", 'a', None).unwrap();
    refused(release(&mut world, &vm), RefusalClass::Conflict, "not revoked");
    world.host_action("h1", HostAction::Revoke).unwrap();
    let repairs = |world: &World| orphans(&world.state).items.iter().map(|it| it.repair).collect::<Vec<_>>();
    assert_eq!(repairs(&world), [None, None]);
    refused(release(&mut world, &vm), RefusalClass::Conflict, "not being deleted");
    world.deleted(&vm);
    world.deleted(&boot);
    assert_eq!(repairs(&world), [Some(Repair::Release), Some(Repair::Release)]);
    refused(release(&mut world, &boot), RefusalClass::Conflict, "still used");
    assert_eq!(release(&mut world, &vm), Ok(Answer::Accepted));
    assert!(world.gone(&vm) && !world.gone(&boot));
    assert_eq!(release(&mut world, &boot), Ok(Answer::Accepted));
    assert!(world.gone(&boot));
    world.deleted(&Urn::global(Kind::Host, "h1"));
}

#[test]
fn a_disk_that_a_host_has_lost_is_an_orphan_of_the_other_sort() {
    let mut world = World::with_active_instance();
    let mut said = world.honest("h1");
    for said in &mut said {
        if let crate::ObjectReport::Volume(said) = said {
            (said.present, said.failure) = (false, failure("VolumeLost"));
        }
    }
    world.say("h1", said);
    let orphan = only(&world);
    assert_eq!((orphan.class, orphan.repair), (OrphanClass::Lost, None));
    assert!(orphan.reference.unwrap().ends_with("block-storages/boot"));
    assert!(orphan.message.contains("/dev/sdb on h1"), "{}", orphan.message);
    world.report("h1");
    assert_eq!(orphans(&world.state).items, []);
}

#[test]
fn domains_of_others_are_shown_and_no_more() {
    let mut world = World::new();
    let domain =
        |uuid: Uuid| UnexpectedDomain { uuid: uuid.to_string(), name: "theirs".into(), running: true };
    let mut report = HostReport { leftovers: vec![left(&[LeftoverPart::Domain])], ..host_report() };
    report.unexpected_domains = vec![domain(STRAY), domain(Uuid::from_u128(7))];
    world.join("h1", "a", report);
    let found = orphans(&world.state).items;
    let classes: Vec<_> = found.iter().map(|orphan| orphan.class).collect();
    assert_eq!(classes, [OrphanClass::Leftover, OrphanClass::ForeignDomain]);
    assert_eq!(found[1].repair, None);
}
