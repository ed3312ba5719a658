//! One line of log and three numbers for each request: how many, how they ended, how long they took.
//!
//! Routes are counted by template (`workspaces/-/instances/-/start`), so their number is that of the table of kinds,
//! whatever is asked for. What counts them is looked up once and kept: so whoever keeps metrics has to begin before the first
//! request is served.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Instant;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use super::route::Form;

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "other"];
const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "other"];

/// What counts the requests of one route. What was never asked for is not shown.
struct Meter {
    route: String,
    /// By method and class of status.
    requests: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()],
    seconds: [OnceLock<Histogram>; METHODS.len()],
}

impl Meter {
    fn new(route: String) -> Meter {
        Meter { route, requests: Default::default(), seconds: Default::default() }
    }

    fn requests(&self, method: usize, class: usize) -> &Counter {
        self.requests[method][class].get_or_init(|| {
            let (method, class) = (METHODS[method], CLASSES[class]);
            metrics::counter!(
                "rempart_http_requests_total",
                "route" => self.route.clone(), "method" => method, "status" => class
            )
        })
    }

    fn seconds(&self, method: usize) -> &Histogram {
        self.seconds[method].get_or_init(|| {
            metrics::histogram!(
                "rempart_http_request_seconds",
                "route" => self.route.clone(), "method" => METHODS[method]
            )
        })
    }
}

static METERS: LazyLock<BTreeMap<Form, Meter>> =
    LazyLock::new(|| Form::all().map(|form| (form, Meter::new(form.template()))).collect());
/// Of what is no path of the table.
static OTHER: LazyLock<Meter> = LazyLock::new(|| Meter::new("other".to_owned()));

/// A request under way.
pub(super) struct Measure {
    meter: &'static Meter,
    method: usize,
    begun: Instant,
}

impl Measure {
    pub(super) fn begin(method: &Method, form: Option<Form>) -> Measure {
        let known = METHODS.iter().position(|known| *known == method.as_str());
        let meter = form.and_then(|form| METERS.get(&form)).unwrap_or(&OTHER);
        Measure { meter, method: known.unwrap_or(METHODS.len() - 1), begun: Instant::now() }
    }

    /// To be called within the request's span.
    pub(super) fn end(self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            2 => 0,
            3 => 1,
            4 => 2,
            5 => 3,
            _ => 4,
        };
        let elapsed = self.begun.elapsed();
        let (status, ms) = (status.as_u16(), elapsed.as_millis());
        // Reads are many, and change nothing.
        if METHODS[self.method] == "GET" {
            tracing::debug!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
        self.meter.requests(self.method, class).increment(1);
        self.meter.seconds(self.method).record(elapsed.as_secs_f64());
    }
}
