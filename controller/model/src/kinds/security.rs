//! Security groups and their rules.

use rempart_api::network::{Ports, Protocol, SecurityGroupRuleSpec, SecurityGroupSpec};
use rempart_api::{Kind, Reference};

use super::references::literals_among;
use super::target::Target;
use super::{Link, Rules, Strength};
use crate::refusal::Fault;
use crate::state::State;

/// Most rules of a group, of each sort.
pub(crate) const MAX_RULES: usize = 500;
/// Most peers of a rule.
const MAX_PEERS: usize = 32;
/// Most single ports of a rule.
const MAX_PORTS: usize = 100;
/// What may be a peer besides addresses and blocks.
const PEERS: [Kind; 3] = [Kind::InternetGateway, Kind::Instance, Kind::SecurityGroup];

impl Rules for SecurityGroupSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        let rules = self.rules.as_deref().unwrap_or_default();
        let counts = [("rules", rules.len()), ("ruleRefs", self.rule_refs.as_ref().map_or(0, Vec::len))];
        for (field, count) in counts {
            if count > MAX_RULES {
                let why = format!("at most {MAX_RULES} rules, has {count}");
                faults.push(Fault::new(format!("/spec/{field}"), why));
            }
        }
        for (position, rule) in rules.iter().enumerate().take(MAX_RULES) {
            check_rule(faults, &format!("/spec/rules/{position}"), rule);
        }
    }

    fn links(&self) -> Vec<Link<'_>> {
        let mut links = Vec::new();
        for (position, rule) in self.rules.iter().flatten().enumerate() {
            links.extend(peers(&format!("/spec/rules/{position}"), rule));
        }
        let refs = self.rule_refs.iter().flatten().enumerate();
        links.extend(refs.map(|(position, rule)| {
            let pointer = format!("/spec/ruleRefs/{position}");
            Link::new(pointer, rule, Kind::SecurityGroupRule, Strength::AtPut)
        }));
        links
    }

    fn literals(&self) -> Vec<(String, &Reference)> {
        let rules = self.rules.iter().flatten().enumerate();
        rules.flat_map(|(position, rule)| addresses(&format!("/spec/rules/{position}"), rule)).collect()
    }
}

impl Rules for SecurityGroupRuleSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_rule(faults, "/spec", self);
    }

    fn links(&self) -> Vec<Link<'_>> {
        peers("/spec", self)
    }

    fn literals(&self) -> Vec<(String, &Reference)> {
        addresses("/spec", self)
    }
}

/// Groups and gateways must exist when they are named; instances come and go.
fn peers<'a>(at: &str, rule: &'a SecurityGroupRuleSpec) -> Vec<Link<'a>> {
    let link = |(position, peer)| {
        let kind = Target::of(peer, &PEERS).ok()?.kind()?;
        let strength = if kind == Kind::Instance { Strength::Weak } else { Strength::AtPut };
        Some(Link::new(format!("{at}/sourceRef/{position}"), peer, kind, strength))
    };
    rule.source_ref.iter().flatten().enumerate().filter_map(link).collect()
}

/// Peers that are addresses or blocks.
fn addresses<'a>(at: &str, rule: &'a SecurityGroupRuleSpec) -> Vec<(String, &'a Reference)> {
    let peers = rule.source_ref.iter().flatten().enumerate();
    literals_among(peers.map(|(position, peer)| (format!("{at}/sourceRef/{position}"), peer)), &PEERS)
}

fn check_rule(faults: &mut Vec<Fault>, at: &str, rule: &SecurityGroupRuleSpec) {
    let mut add = |field: &str, why: String| faults.push(Fault::new(format!("{at}{field}"), why));
    if let Some(ports) = &rule.ports {
        if rule.protocol == Some(Protocol::Icmp) {
            add("/ports", "icmp has no ports; leave them out, or use tcp, udp or tcp+udp".to_owned());
        }
        check_ports(ports, &mut add);
    }
    if let Some(icmp) = &rule.icmp {
        if rule.protocol.is_some_and(|protocol| protocol != Protocol::Icmp) {
            add("/icmp", "is for protocol icmp only".to_owned());
        }
        if rule.protocol.is_none() && rule.ports.is_some() {
            add("/icmp", "cannot stand beside ports: make two rules".to_owned());
        }
        for (field, value, high) in [("/icmp/type", icmp.kind, 8), ("/icmp/code", icmp.code, 5)] {
            if !(0..=high).contains(&value) {
                add(field, format!("must be 0 to {high}, is {value}"));
            }
        }
    }
    let peers = rule.source_ref.as_deref().unwrap_or_default();
    if peers.len() > MAX_PEERS {
        add("/sourceRef", format!("at most {MAX_PEERS} peers, has {}", peers.len()));
    }
    for (position, peer) in peers.iter().enumerate().take(MAX_PEERS) {
        if let Err(why) = Target::of(peer, &PEERS) {
            add(&format!("/sourceRef/{position}"), why);
        }
    }
    for (key, value) in rule.annotations.iter().flatten() {
        let length = value.chars().count();
        if length > 1024 {
            let shown: String = key.chars().take(63).collect();
            add("/annotations", format!("value of {shown:?} has {length} characters, at most 1024"));
        }
        if key.is_empty() || key.chars().count() > 256 {
            add("/annotations", "keys must have 1 to 256 characters".to_owned());
        }
    }
}

fn check_ports(ports: &Ports, add: &mut impl FnMut(&str, String)) {
    let list = ports.list.as_deref().unwrap_or_default();
    if ports.from.is_none() && ports.to.is_none() && list.is_empty() {
        add("/ports", "must name at least one port (1 to 65535); leave it out for all ports".to_owned());
    }
    let ends = [("/ports/from", ports.from), ("/ports/to", ports.to)];
    let single = list.iter().enumerate().map(|(at, port)| (format!("/ports/list/{at}"), *port));
    let ends = ends.into_iter().filter_map(|(field, port)| Some((field.to_owned(), port?)));
    for (field, port) in ends.chain(single.take(MAX_PORTS)) {
        if !(1..=65_535).contains(&port) {
            add(&field, format!("must be 1 to 65535, is {port}"));
        }
    }
    if list.len() > MAX_PORTS {
        add("/ports/list", format!("at most {MAX_PORTS} ports, has {}", list.len()));
    }
    if let (Some(from), Some(to)) = (ports.from, ports.to)
        && from > to
    {
        add("/ports/from", format!("{from} is behind the end, {to}"));
    }
}

#[cfg(test)]
mod tests;
