use super::*;
use crate::command::{Command, DeleteCommand, PowerAction, PowerCommand, PutCommand};
use crate::fixture::*;
use rempart_api::{Kind, Urn};
use serde_json::json;

fn desired_volume(world: &World, name: &str) -> DesiredVolume {
    match world.state.desired(world.get(&volume(name))) {
        Some(DesiredObject::Volume(volume)) => volume,
        other => panic!("{name}: {other:?}"),
    }
}

fn desired_instance(world: &World) -> DesiredInstance {
    match world.state.desired(world.get(&instance("vm"))) {
        Some(DesiredObject::Instance(instance)) => *instance,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_host_has_to_do_with_is_desired_of_none() {
    let mut world = World::new();
    world.created(&volume("loose"), volume_spec(1));
    for urn in
        [volume("loose"), workspace("w1"), Urn::global(Kind::Host, "h1"), Urn::global(Kind::Tenant, "t1")]
    {
        assert_eq!(world.state.desired(world.get(&urn)), None, "{urn}");
    }
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    assert_eq!(world.state.desired(world.get(&instance("vm"))), None);
}

#[test]
fn an_instance_is_described_in_full() {
    let mut world = World::new();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&volume("data"), volume_spec(2));
    let mut spec = instance_with("boot", data_volumes(&["data"]));
    (spec["sshKeys"], spec["userData"]) = (json!(["ssh-ed25519 A"]), json!("#cloud-config"));
    world.created(&instance("vm"), spec);
    let desired = desired_instance(&world);
    assert_eq!(desired.uid, world.get(&instance("vm")).uid);
    assert_eq!((desired.generation, desired.epoch, desired.present), (1, 1, true));
    assert_eq!(desired.hostname, "vm");
    assert_eq!((desired.ssh_keys, desired.user_data), (vec!["ssh-ed25519 A".into()], "#cloud-config".into()));
    assert_eq!(desired.power, Power::default());
    let volumes: Vec<_> = desired.hardware.disks.iter().map(|disk| disk.volume).collect();
    assert_eq!(volumes, [world.get(&volume("boot")).uid, world.get(&volume("data")).uid]);
    let data = desired_volume(&world, "data");
    assert_eq!((data.generation, data.epoch, data.present), (1, 1, true));
    assert_eq!((data.size_bytes, data.content), (2 << 30, None));
}

#[test]
fn the_generation_rises_with_what_a_host_has_to_do_and_with_nothing_else() {
    let mut world = World::with_active_instance();
    let generation = |world: &World| desired_instance(world).generation;
    world.updated(&instance("vm"), instance_with("boot", json!({"antiAffinityGroup": "apart"})));
    assert_eq!(generation(&world), 1);
    world.updated(&instance("vm"), instance_with("boot", json!({"userData": "#x"})));
    assert_eq!(generation(&world), 3);
    world.report("h1");
    world.start(&instance("vm")).unwrap();
    assert_eq!(generation(&world), 4);
    assert!(desired_instance(&world).power.on);
    world.report("h1");
    world.deleted(&instance("vm"));
    let desired = desired_instance(&world);
    assert_eq!((desired.generation, desired.present, desired.power.on), (5, false, false));
}

#[test]
fn a_volume_stays_until_its_user_has_gone() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    assert!(desired_volume(&world, "boot").present);
    world.report("h1");
    assert!(!desired_volume(&world, "boot").present);
}

#[test]
fn a_detached_volume_stays_where_it_is() {
    let mut world = World::with_active_instance();
    world.created(&volume("data"), volume_spec(1));
    world.updated(&instance("vm"), instance_with("boot", data_volumes(&["data"])));
    world.report("h1");
    world.updated(&instance("vm"), instance_spec("boot"));
    world.report("h1");
    assert!(desired_volume(&world, "data").present);
    world.deleted(&volume("data"));
    assert!(!desired_volume(&world, "data").present);
}

#[test]
fn the_request_that_changed_what_a_host_has_to_do_is_named() {
    let mut world = World::new();
    world.created(&volume("boot"), volume_spec(1));
    let ask = |world: &mut World, command: Command, trace: bool| {
        let mut envelope = world.envelope(command);
        envelope.trace = trace.then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        world.apply_envelope(&envelope).outcome.expect("accepted");
        Some(envelope.request_id)
    };
    let put =
        PutCommand { host: Some("h1".into()), ..world.put_command(&instance("vm"), instance_spec("boot")) };
    let put = ask(&mut world, Command::Put(Box::new(put)), true);
    assert_eq!(desired_instance(&world).request_id, put);
    assert_eq!(desired_volume(&world, "boot").request_id, put, "it was bound by the instance's PUT");
    // What the control plane says by itself, and what a host says, is nobody's request.
    world.report("h1");
    assert_eq!(desired_instance(&world).request_id, put);
    let start = PowerCommand { urn: instance("vm"), if_unmodified_since: None, action: PowerAction::Start };
    let start = ask(&mut world, Command::Power(start), true);
    assert_eq!(
        (desired_instance(&world).request_id, desired_volume(&world, "boot").request_id),
        (start, put)
    );
    // An entry of before traces were kept leads to the State that it always led to.
    let delete = DeleteCommand { urn: instance("vm"), if_unmodified_since: None };
    ask(&mut world, Command::Delete(delete), false);
    assert_eq!(desired_instance(&world).request_id, start);
}
