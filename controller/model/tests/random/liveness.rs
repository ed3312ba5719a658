//! Once faults end, everything that was asked for comes true.

use rempart_api::compute::PowerState;
use rempart_api::{Kind, Phase};
use rempart_model::placement::{self, Rule};
use rempart_model::{Detail, HostAction, Object, Spec, State};

use crate::world::World;

/// Rounds in which every host hears, works and reports once. An instance goes in the first, what it used in the
/// second, what that was in with it.
const ROUNDS: usize = 3;

/// All hosts are back, healthy and large; everything settles.
pub(crate) fn recover(world: &mut World) {
    let hosts: Vec<(String, String)> = world
        .log
        .state
        .of_kind(Kind::Host)
        .filter_map(|host| match &host.spec {
            Spec::Host(spec) => Some((host.urn.name.clone(), spec.zone.clone())),
            _ => None,
        })
        .collect();
    for host in world.hosts.values_mut() {
        host.broken.clear();
    }
    for (host, zone) in &hosts {
        let identity = world.log.state.host_identity(host);
        if identity.is_some_and(|identity| identity.revoked_at.is_some()) {
            let token = world.fresh_token();
            world.enrol(host, 9, None, token);
        }
        world.host_action(host, HostAction::Uncordon);
        let zone = if zone.is_empty() { world.log.state.zones()[0].clone() } else { zone.clone() };
        world.seen(host, &zone, 1 << 10, true, None);
    }
    for _ in 0..ROUNDS {
        while world.wind_down() {}
        for _ in 0..world.log.state.waiting().count() {
            world.place_waiting();
        }
        drive_all(world, &hosts);
    }
    let settled: Vec<_> = world.log.state.objects().cloned().collect();
    drive_all(world, &hosts);
    assert!(world.log.state.objects().eq(settled.iter()), "it never comes to rest");
    check_settled(world);
}

fn drive_all(world: &mut World, hosts: &[(String, String)]) {
    for (host, _) in hosts {
        let number: u8 = host[1..].parse().unwrap();
        world.drive(number, |_| true);
    }
}

/// Of what is not an instance, when all is done.
fn expected(state: &State, object: &Object) -> Phase {
    let source = match &object.detail {
        Detail::Image(image) => image.source.as_ref(),
        _ => None,
    };
    let Some(source) = source else {
        return Phase::Active;
    };
    match state.by_uid(*source).map(|volume| &volume.detail) {
        Some(Detail::Volume(volume)) if !volume.gone => Phase::Active,
        // What it was to be a copy of is lost.
        _ => Phase::Error,
    }
}

fn check_settled(world: &World) {
    let state = &world.log.state;
    for object in state.objects() {
        let (urn, phase) = (&object.urn, object.status.state);
        assert_ne!(phase, Phase::Deleting, "{urn} never goes");
        let Detail::Instance(instance) = &object.detail else {
            assert_eq!(phase, expected(state, object), "{urn}: {object:?}");
            continue;
        };
        if instance.placement.is_none() {
            assert_eq!(phase, Phase::Pending, "{urn}");
            continue;
        }
        assert_eq!(phase, Phase::Active, "{urn}: {instance:?}");
        assert_eq!(instance.executed_power_generation, instance.power.generation, "{urn}");
        assert!(
            !instance.power.on || instance.power_state == PowerState::On,
            "{urn} should be on: {instance:?}"
        );
        assert_eq!(instance.realised.failure, None, "{urn}");
    }
    for waiting in state.waiting() {
        let placement::Verdict { host, refusals, .. } = placement::verdict(state, waiting);
        assert_eq!(host, None, "a host would take it");
        use Rule::{Cordoned, Disk, Firmware, Hypervisor, Joining, Memory, Revoked, Unreachable, Vcpus};
        let lacking = [Vcpus, Memory, Disk, Unreachable, Hypervisor, Firmware, Cordoned, Revoked, Joining];
        assert!(lacking.iter().all(|rule| !refusals.contains_key(rule)), "{}: {refusals:?}", waiting.urn);
    }
}
