//! What operators want of controllers.

use super::*;

fn join(replica_id: u64, address: &str) -> Command {
    Command::Replica(ReplicaCommand {
        replica_id,
        intent: ReplicaIntent::Join { address: address.to_owned() },
    })
}

fn leave(replica_id: u64) -> Command {
    Command::Replica(ReplicaCommand { replica_id, intent: ReplicaIntent::Leave })
}

#[test]
fn an_id_is_used_once() {
    let mut world = World::new();
    assert_eq!(world.apply(join(4, "10.0.0.4:7080")), Ok(Answer::Accepted));
    // Asked again, because the answer was lost.
    assert_eq!(world.apply(join(4, "10.0.0.4:7080")), Ok(Answer::Accepted));
    refused(world.apply(join(4, "10.0.0.5:7080")), RefusalClass::Conflict, "has moved");
    assert_eq!(world.apply(leave(4)), Ok(Answer::Accepted));
    assert_eq!(world.apply(leave(4)), Ok(Answer::Accepted));
    refused(world.apply(join(4, "10.0.0.4:7080")), RefusalClass::Conflict, "is not used again");
    // One of the founding, of which State knew nothing.
    assert_eq!(world.apply(leave(1)), Ok(Answer::Accepted));
    refused(world.apply(join(1, "10.0.0.1:7080")), RefusalClass::Conflict, "is not used again");
    let known: Vec<u64> = world.state.core().replicas.keys().copied().collect();
    assert_eq!(known, [1, 4]);
}

#[test]
fn an_address_is_a_host_and_a_port() {
    let mut world = World::new();
    for address in
        ["", "host", "host:", ":7080", "host:0", "host:70800", "a b:1", "user@host:1", "http://host:1"]
    {
        refused(world.apply(join(4, address)), RefusalClass::Invalid, "HOST:PORT");
    }
    for (id, address) in [(4, "c4.example.org:7080"), (5, "[2001:db8::5]:7080"), (6, "192.0.2.6:1")] {
        assert_eq!(world.apply(join(id, address)), Ok(Answer::Accepted));
    }
}
