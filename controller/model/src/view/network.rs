//! What statuses of network kinds show on top of what all have.

use rempart_api::network::{RouteTableSpec, SecurityGroupSpec};
use rempart_api::{Kind, Phase, Reference, Status, Timestamp};
use serde_json::{Map, Value, json};

use crate::apply::given;
use crate::kinds::{MAX_RULES, Spec, Target, target_of};
use crate::object::{Detail, Object};
use crate::state::State;

/// Adds to `status` what `object` has itself.
pub(super) fn add_own(object: &Object, status: &mut Value) {
    match (&object.spec, &object.detail) {
        (Spec::Network(_), detail) => {
            let blocks = given(&object.spec, detail);
            status["cidr"] = json!(blocks.cidr);
            if !blocks.additional.is_empty() {
                status["additionalCidrs"] = json!(blocks.additional);
            }
        }
        (Spec::Subnet(_), detail) => status["cidr"] = json!(given(&object.spec, detail).cidr),
        (_, Detail::Nic(nic)) => {
            status["addresses"] = json!(nic.addresses);
            status["macAddress"] = json!(nic.mac);
        }
        (_, Detail::PublicIp(public)) => status["ipAddress"] = json!(public.address),
        _ => {}
    }
}

/// Adds what is to be said of it and others.
pub(super) fn add_around(state: &State, object: &Object, members: &mut Map<String, Value>) {
    let mut say = |member: &str, value: Value| _ = members.insert(member.to_owned(), value);
    match (&object.spec, &object.detail) {
        (Spec::Subnet(spec), _) => {
            if let Ok(table) = state.resolve(&spec.route_table_ref, Kind::RouteTable, &object.urn)
                && state.get(&table).is_some()
            {
                say("routeTableRef", json!(Reference::to_urn(&table)));
            }
        }
        (Spec::RouteTable(table), _) => say("routes", routes(state, object, table)),
        (Spec::SecurityGroup(group), _) => say("rules", rules(state, object, group)),
        (_, Detail::Nic(_)) => {
            let links = object.spec.links().into_iter().filter(|link| link.kind == Kind::PublicIp);
            let public: Vec<_> = links
                .filter_map(|link| state.target(object, &link).ok())
                .map(|address| Reference::to_urn(&address))
                .collect();
            if !public.is_empty() {
                say("publicIpRefs", json!(public));
            }
        }
        (_, Detail::PublicIp(_)) => {
            if let Some(nic) = state.referrers(&object.urn).next() {
                let instance = state.referrers(&nic.urn).find(|user| user.urn.kind == Kind::Instance);
                say("attachedTo", json!(Reference::to_urn(&instance.unwrap_or(nic).urn)));
            }
        }
        _ => {}
    }
}

/// The state of a part of `object`, which is kept nowhere: since the object's own last change, so far as is known.
fn part(object: &Object, state: Phase, why: Option<(&str, String)>) -> Value {
    part_since(object.modified_at, state, why)
}

/// The state of a part of `object` that is well while `target` is there: it cannot have been before that came.
fn held(object: &Object, target: &Object) -> Value {
    part_since(object.modified_at.max(target.created_at), Phase::Active, None)
}

fn part_since(at: Timestamp, state: Phase, why: Option<(&str, String)>) -> Value {
    let mut status = Status::default();
    status.enter(state, at);
    status.explain(why);
    json!(status)
}

fn routes(state: &State, object: &Object, table: &RouteTableSpec) -> Value {
    let network = object.urn.parent().and_then(|network| state.get(&network));
    let blocks = network.map(|network| network.blocks()).unwrap_or_default();
    let each = table.routes.iter().map(|route| match target_of(route) {
        Ok(Target::Resource(kind)) => match state.resolve(&route.target_ref, kind, &object.urn) {
            Ok(target) => match state.get(&target) {
                Some(target) => held(object, target),
                // An instance may come later; a gateway was there, and has gone.
                None if kind == Kind::Instance => {
                    part(object, Phase::Pending, Some(("TargetMissing", format!("{target} does not exist."))))
                }
                None => {
                    let why = format!("{target} does not exist any more.");
                    part(object, Phase::Error, Some(("TargetLost", why)))
                }
            },
            Err(error) => part(object, Phase::Error, Some(("TargetLost", error.to_string()))),
        },
        Ok(Target::Address(address)) if !blocks.iter().any(|block| block.holds(address)) => {
            let why = format!("{address} is not an address of the network any more.");
            part(object, Phase::Error, Some(("TargetLost", why)))
        }
        _ => part(object, Phase::Active, None),
    });
    each.collect()
}

/// Its own rules first, then those it names; the contract shows 500 of them.
fn rules(state: &State, object: &Object, group: &SecurityGroupSpec) -> Value {
    let own = group.rules.iter().flatten().map(|_| part(object, Phase::Active, None));
    let named = group.rule_refs.iter().flatten().map(|rule| {
        match state.resolve(rule, Kind::SecurityGroupRule, &object.urn) {
            Ok(rule) => match state.get(&rule) {
                Some(rule) => held(object, rule),
                None => {
                    let why = format!("{rule} does not exist any more.");
                    part(object, Phase::Error, Some(("RuleLost", why)))
                }
            },
            Err(error) => part(object, Phase::Error, Some(("RuleLost", error.to_string()))),
        }
    });
    own.chain(named).take(MAX_RULES).collect()
}
