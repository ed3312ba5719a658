//! What was asked of libvirt: a line of log and two numbers for each call. What only looks is counted and not logged.
//!
//! The line stands in the span of the step that called, and so under the id of the request it is due to.

use crate::vm::HypervisorError;
use std::time::Instant;
use uuid::Uuid;

/// Notes a call that has ended; without a domain it only looked.
pub(super) fn note<T>(
    call: &'static str,
    domain: Option<Uuid>,
    begun: Instant,
    outcome: &Result<T, HypervisorError>,
) {
    let elapsed = begun.elapsed();
    let result = match outcome {
        Ok(_) => "ok",
        Err(HypervisorError::Unavailable(_)) => "unavailable",
        Err(_) => "refused",
    };
    if let Some(domain) = domain {
        tracing::info!(call, %domain, ms = elapsed.as_millis(), result, "libvirt");
    }
    metrics::counter!("rempart_agent_libvirt_calls_total", "call" => call, "outcome" => result).increment(1);
    metrics::histogram!("rempart_agent_libvirt_call_seconds", "call" => call).record(elapsed.as_secs_f64());
}
