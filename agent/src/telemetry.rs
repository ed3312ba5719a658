//! What an operator can read off an agent at any moment, set when somebody asks for `/metrics`. What happens (steps, calls)
//! is counted where it happens. `docs/operating/metrics.md` has the list. No label is a guest's, a tenant's or a path.

use crate::reconcile::Observations;
use metrics::gauge;
use rempart_proto::agent::v1::Presence;

/// Sets every gauge.
pub fn look(observations: &Observations) {
    let Some(seen) = observations.borrow().clone() else { return };
    let (mut running, mut off, mut failing) = (0.0, 0.0, 0.0);
    let present = seen.instances.values().filter(|guest| guest.presence() == Presence::Present);
    for guest in present {
        if guest.running {
            running += 1.0
        } else {
            off += 1.0
        }
        if guest.failure.is_some() {
            failing += 1.0;
        }
    }
    gauge!("rempart_agent_guests", "state" => "running").set(running);
    gauge!("rempart_agent_guests", "state" => "off").set(off);
    gauge!("rempart_agent_guests_failing").set(failing);
    gauge!("rempart_agent_hypervisor_up").set(if seen.hypervisor.available { 1.0 } else { 0.0 });
    let unexpected = u32::try_from(seen.unexpected.len()).unwrap_or(u32::MAX);
    gauge!("rempart_agent_unexpected_domains").set(f64::from(unexpected));
}
