use super::*;
use crate::desired::Disk;
use crate::ledger::VolumeRecord;
use crate::plan::tests::{instance, stamp, volume};

fn uid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Instances 100 and so on, each with the volumes it uses and those it used.
fn ledger(instances: &[(u128, &[u128], &[u128])]) -> Snapshot {
    let mut ledger = Snapshot::default();
    for (number, current, former) in instances {
        put(&mut ledger, *number, current, former);
        for number in current.iter().chain(*former) {
            let volume = crate::desired::Volume { uid: uid(*number), ..volume() };
            let record = VolumeRecord { stamp: stamp(), listed: true, volume };
            ledger.volumes.insert(uid(*number), Arc::new(record));
        }
    }
    ledger
}

fn put(ledger: &mut Snapshot, number: u128, current: &[u128], former: &[u128]) {
    let mut instance = instance();
    instance.uid = uid(number);
    let disk = |number: &u128| Disk { volume: uid(*number), slot: 0, serial: String::new() };
    instance.hardware.as_mut().unwrap().disks = current.iter().map(disk).collect();
    ledger.put_instance(InstanceRecord {
        stamp: stamp(),
        listed: true,
        former_volumes: former.iter().copied().map(uid).collect(),
        instance,
        seed_fingerprint: String::new(),
    });
}

fn check(ledger: &Snapshot, asked: Object, expected: &[Object]) {
    let all = ledger.together([asked].into());
    assert_eq!(all, expected.iter().copied().collect(), "{asked}");
    let part = ledger.only(&all);
    let held = part.volumes.keys().map(|uid| Object::Volume(*uid));
    let held: Vec<Object> = held.chain(part.instances.keys().map(|uid| Object::Instance(*uid))).collect();
    assert!(held.iter().all(|object| all.contains(object)), "nothing else");
    assert_eq!(held.len(), all.iter().filter(|object| is_held(ledger, object)).count());
    for volume in part.volumes.keys() {
        assert!(part.users(*volume).eq(ledger.users(*volume)), "of a volume, all its users");
    }
}

fn is_held(ledger: &Snapshot, object: &Object) -> bool {
    match object {
        Object::Volume(uid) => ledger.volumes.contains_key(uid),
        Object::Instance(uid) => ledger.instances.contains_key(uid),
    }
}

#[test]
fn what_shares_a_volume_hangs_together() {
    use Object::{Instance, Volume};
    let mut ledger = ledger(&[(100, &[1, 2], &[]), (101, &[3], &[2]), (102, &[4], &[])]);
    let chain: Vec<Object> = [1, 2, 3].map(|n| Volume(uid(n))).into();
    let chain: Vec<Object> = chain.into_iter().chain([100, 101].map(|n| Instance(uid(n)))).collect();
    for object in &chain {
        check(&ledger, *object, &chain);
    }
    check(&ledger, Volume(uid(4)), &[Volume(uid(4)), Instance(uid(102))]);
    check(&ledger, Volume(uid(9)), &[Volume(uid(9))]);
    // Defined anew, it has let go of the former one.
    put(&mut ledger, 101, &[3], &[]);
    check(&ledger, Volume(uid(3)), &[Volume(uid(3)), Instance(uid(101))]);
    ledger.remove_instance(uid(101));
    check(&ledger, Volume(uid(3)), &[Volume(uid(3))]);
    assert_eq!(ledger.users(uid(2)).collect::<Vec<_>>(), [uid(100)]);
}
