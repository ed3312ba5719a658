//! A cloud of which a backup is taken, which lives on, and is restored: nobody's guest is stopped or started for it, nothing
//! changes before the opening, and then everything comes true as ever.

use std::collections::BTreeMap;

use rempart_model::{Command, CompareCommand, Detail, Object, Restored, ResumeCommand, State};
use uuid::Uuid;

use crate::liveness;
use crate::operation::Operation;
use crate::world::World;

/// What has to have happened in some of the lives.
pub(crate) const EXERCISED: [&str; 3] = ["compared", "resumed", "refused while read-only"];

/// One life. The backup is taken after so many operations, and restored after so many.
pub(crate) fn live(operations: &[Operation], backup: usize, restore: usize) -> BTreeMap<&'static str, usize> {
    let mut world = World::new();
    let (backup, restore) = (backup.min(operations.len()), restore.min(operations.len()));
    let (backup, restore) = (backup.min(restore), backup.max(restore));
    operations[..backup].iter().for_each(|operation| world.perform(operation));
    let kept = world.log.state.clone();
    operations[backup..restore].iter().for_each(|operation| world.perform(operation));
    begin_anew(&mut world, &kept);
    let wanted: Vec<_> = world.log.state.objects().map(|object| wanted(object)).collect();
    let refused =
        |world: &World| world.log.accepted().find(|(what, _)| *what == "refused").map(|(_, count)| count);
    let before = refused(&world);
    operations[restore..]
        .iter()
        .filter(|operation| is_asked(operation))
        .for_each(|operation| world.perform(operation));
    let after: Vec<_> = world.log.state.objects().map(|object| self::wanted(object)).collect();
    assert!(wanted.iter().all(|before| after.contains(before)), "something changed before the opening");
    if refused(&world) > before {
        world.log.note("refused while read-only");
    }
    compare(&mut world);
    open(&mut world);
    liveness::recover(&mut world);
    world.log.check_replay();
    world.log.accepted().collect()
}

fn begin_anew(world: &mut World, kept: &State) {
    let from = Restored {
        backup_id: Uuid::from_u128(1),
        taken_at: kept.core().clock,
        taken_index: kept.applied_index(),
        restored_at: world.log.now(),
        first_replica_id: 9,
        opened_at: None,
        hosts: BTreeMap::new(),
    };
    let state = kept.restored(from, kept.core().incarnation + 1);
    world.log.begin_anew(state);
    world.hosts.values_mut().for_each(|host| host.outlive());
}

/// Of what operations do there, those that the cluster is asked for, and none that pushes to hosts.
fn is_asked(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Put { .. }
            | Operation::Delete { .. }
            | Operation::DeleteAny { .. }
            | Operation::Power { .. }
            | Operation::Fill { .. }
            | Operation::PlaceAnything { .. }
            | Operation::Report { .. }
            | Operation::Forge { .. }
            | Operation::WindDown
            | Operation::Replica { .. }
            | Operation::Blank
            | Operation::Clock { .. }
    )
}

/// What is wanted of an object, and by which request.
fn wanted(object: &Object) -> (Uuid, u64, String) {
    let detail = match &object.detail {
        Detail::Instance(instance) => format!("{:?} {:?}", instance.power, instance.placement),
        Detail::Volume(volume) => format!("{:?} {:?}", volume.host_generation, volume.placement),
        _ => String::new(),
    };
    (object.uid, object.resource_version, detail)
}

fn compare(world: &mut World) {
    let awaited = world.log.state.awaited(&[]).unwrap().hosts;
    for host in awaited {
        let before = world.log.state.clone();
        let things = world.hosts.get(&host).map(|host| host.everything()).unwrap_or_default();
        let compare = CompareCommand { host: host.clone(), things };
        world.propose(Command::Compare(Box::new(compare.clone()))).unwrap();
        let once: Vec<_> = world.log.state.objects().cloned().collect();
        tell(world, &before, &host);
        world.propose(Command::Compare(Box::new(compare))).unwrap();
        let again = world.log.state.objects().map(|object| self::wanted(object));
        assert!(once.iter().map(|object| self::wanted(object)).eq(again), "compared twice, something else");
    }
}

/// Checks what a comparison made of objects, and notes what happened.
fn tell(world: &mut World, before: &State, host: &str) {
    let mut notes = Vec::new();
    for object in world.log.state.on_host(host) {
        let old = before.by_uid(object.uid).unwrap();
        if old.placement().is_none() {
            notes.push("bound where it is");
        }
        if matches!(&object.detail, Detail::Volume(volume) if volume.gone) {
            notes.push("gone");
        }
        let (Detail::Instance(old), Detail::Instance(new)) = (&old.detail, &object.detail) else { continue };
        let runs = world.hosts.get(host).and_then(|host| host.runs(object.uid));
        if runs == Some(true) && !object.is_deleting() {
            assert!(new.power.on, "{} runs, and is to be stopped", object.urn);
        }
        match (old.power.on, new.power.on) {
            (false, true) => {
                assert_eq!(runs, Some(true), "{} is to be started", object.urn);
                notes.push("turned on");
            }
            (true, false) => {
                assert_ne!(runs, Some(true), "{} is to be stopped", object.urn);
                notes.push("turned off");
            }
            _ => {}
        }
    }
    notes.into_iter().for_each(|what| world.log.note(what));
}

fn open(world: &mut World) {
    assert!(world.log.state.read_only().is_some());
    let awaited = world.log.state.awaited(&[]).unwrap();
    let mut without = awaited.hosts;
    without.extend(awaited.conflicts.into_iter().map(|(host, _)| host));
    if !without.is_empty() {
        world.propose(Command::Resume(ResumeCommand::default())).unwrap_err();
    }
    world.propose(Command::Resume(ResumeCommand { without })).unwrap();
    assert!(world.log.state.read_only().is_none());
}
