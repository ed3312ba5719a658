//! One line of log and three numbers for each request: how many, how they ended, how long they took.
//!
//! Routes are counted by template (`workspaces/-/instances/-/start`), so their number is that of the table of kinds,
//! whatever is asked for.

use std::time::Instant;

use axum::http::{Method, StatusCode};

use super::route::template;

/// A request under way.
pub(super) struct Measure {
    route: String,
    method: &'static str,
    begun: Instant,
}

impl Measure {
    pub(super) fn begin(method: &Method, path: &str) -> Measure {
        let method = match method.as_str() {
            "GET" => "GET",
            "PUT" => "PUT",
            "POST" => "POST",
            "DELETE" => "DELETE",
            _ => "other",
        };
        Measure { route: template(path), method, begun: Instant::now() }
    }

    /// To be called within the request's span.
    pub(super) fn end(self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        let elapsed = self.begun.elapsed();
        let (status, ms) = (status.as_u16(), elapsed.as_millis());
        // Reads are many, and change nothing.
        if self.method == "GET" {
            tracing::debug!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
        metrics::counter!(
            "rempart_http_requests_total",
            "route" => self.route.clone(), "method" => self.method, "status" => class
        )
        .increment(1);
        metrics::histogram!("rempart_http_request_seconds", "route" => self.route, "method" => self.method)
            .record(elapsed.as_secs_f64());
    }
}
