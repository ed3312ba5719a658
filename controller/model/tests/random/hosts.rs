//! What is never given to a host: more than it offers, and anything new while it is not to have it.

use rempart_api::fleet::Overcommit;
use rempart_api::{Kind, Urn};
use rempart_model::{Allocation, Change, Detail, Object, Spec, State};

/// Checks what an entry gave to hosts. A host may offer less than is taken, if it shrank: then nothing is added.
pub(crate) fn check_placements(before: &State, after: &State, changes: &[Change]) {
    for change in changes {
        let Some(object) = &change.after else { continue };
        let Some(here) = object.placement() else { continue };
        let host = before.get(&Urn::global(Kind::Host, &here.host)).expect("it was there before");
        let placed = change.before.as_ref().and_then(|before| before.placement()).is_none();
        if placed && object.urn.kind == Kind::Instance {
            check_takes_new(host, &object.urn);
        }
        check_limits(host, before.allocated(&here.host), after.allocated(&here.host));
    }
}

fn check_takes_new(host: &Object, instance: &Urn) {
    let (Spec::Host(spec), Detail::Host(detail)) = (&host.spec, &host.detail) else { panic!("no host") };
    let revoked = detail.identity.as_ref().is_some_and(|identity| identity.revoked_at.is_some());
    let takes = !spec.cordoned && !revoked && detail.reachable && detail.report.hypervisor.available;
    assert!(takes, "{instance} was placed on {}: {spec:?} {detail:?}", host.urn);
}

fn check_limits(host: &Object, before: Allocation, after: Allocation) {
    let (Spec::Host(spec), Detail::Host(detail)) = (&host.spec, &host.detail) else { panic!("no host") };
    let Overcommit { vcpu_percent, memory_percent, disk_percent } = spec.overcommit.unwrap_or_default();
    let report = &detail.report;
    let within = |what: &str, before: u64, after: u64, of: u64, percent: u32| {
        let limit = of * u64::from(percent) / 100;
        assert!(after <= before || after <= limit, "{}: {what} {after} of {limit}", host.urn);
    };
    within("CPUs", before.vcpus, after.vcpus, report.vcpus.into(), vcpu_percent);
    within("memory", before.memory_mib, after.memory_mib, report.memory_mib, memory_percent);
    if spec.overcommit.is_some() {
        within("disk", before.disk_mib, after.disk_mib, report.disk_mib, disk_percent);
    }
}
