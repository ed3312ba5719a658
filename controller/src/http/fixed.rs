//! The paths that no row of the table of kinds gives, and who may use them.
//!
//! What always holds: the router is built from [`TABLE`] and from nothing else (`tests`), the OpenAPI document has what is in
//! it, and the test of everybody's rights (`tests/tests/routes`) goes by that document. So a path that is not classified here
//! is not served.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use rempart_api::Provider;
use rempart_api::region::{Discovery, Endpoint};

use super::{Settings, backup, cluster, console, docs, openapi};

/// Who may use a method of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever can reach it: nothing of it is a tenant's.
    Everybody {
        /// What it is, for the document.
        summary: &'static str,
        /// Type of what is answered.
        content: &'static str,
    },
    /// Who holds a console's own token, which opens it once.
    ConsoleToken,
    /// Who may turn the instance in the path off and on.
    Power,
    /// Operators of the installation.
    Operators,
}

/// A path and what serves it.
pub(super) struct Fixed {
    pub(super) path: &'static str,
    /// Every method it takes.
    pub(super) methods: &'static [(&'static str, Access)],
    pub(super) handler: fn() -> MethodRouter<Arc<Settings>>,
}

const JSON: &str = "application/json";

const fn everybody(summary: &'static str, content: &'static str) -> Access {
    Access::Everybody { summary, content }
}

/// All of them.
pub(super) const TABLE: &[Fixed] = &[
    Fixed {
        path: "/.wellknown/secapi",
        methods: &[("get", everybody("Where the global providers are", JSON))],
        handler: || public(get(well_known)),
    },
    Fixed {
        path: "/.well-known/secapi",
        methods: &[("get", everybody("The same, by its registered name (RFC 8615)", JSON))],
        handler: || public(get(well_known)),
    },
    Fixed {
        path: "/healthz",
        methods: &[("get", everybody("The process runs", "text/plain"))],
        handler: || public(get(|| async { "ok\n" })),
    },
    Fixed {
        path: "/readyz",
        methods: &[("get", everybody("This controller serves", "text/plain"))],
        handler: || public(get(readiness)),
    },
    Fixed {
        path: "/openapi.json",
        methods: &[("get", everybody("This document", JSON))],
        handler: || public(get(openapi_document)),
    },
    Fixed {
        path: "/docs",
        methods: &[("get", everybody("This document, for people", "text/html"))],
        handler: || public(get(docs::page)),
    },
    Fixed {
        path: console::CONSOLE,
        methods: &[("post", Access::Power), ("get", Access::ConsoleToken)],
        handler: console::console,
    },
    Fixed { path: console::LOG, methods: &[("get", Access::Power)], handler: console::log },
    Fixed { path: cluster::REPLICAS, methods: &[("get", Access::Operators)], handler: cluster::replicas },
    Fixed {
        path: cluster::REPLICA,
        methods: &[("get", Access::Operators), ("put", Access::Operators), ("delete", Access::Operators)],
        handler: cluster::replica,
    },
    Fixed { path: cluster::LEAD, methods: &[("post", Access::Operators)], handler: cluster::lead },
    Fixed { path: cluster::RESUME, methods: &[("post", Access::Operators)], handler: cluster::resume },
    Fixed { path: backup::BACKUP, methods: &[("post", Access::Operators)], handler: backup::backup },
];

/// What everybody reads and nobody writes: another method is refused in the words of every other refusal.
fn public(read: MethodRouter<Arc<Settings>>) -> MethodRouter<Arc<Settings>> {
    read.fallback(|request| cluster::no_method(request, "GET, HEAD"))
}

async fn readiness(Shared(settings): Shared<Arc<Settings>>) -> Response {
    match (settings.ready)() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// SECA's discovery document: the global providers, without authentication.
async fn well_known(Shared(settings): Shared<Arc<Settings>>) -> Response {
    let endpoints = [Provider::Region, Provider::Authorization].map(|provider| Endpoint {
        provider: provider.id().to_owned(),
        url: format!("{}/providers/{}", settings.public_url, provider.name()),
    });
    axum::Json(Discovery { version: "v1".to_owned(), endpoints: endpoints.into() }).into_response()
}

async fn openapi_document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::TEXT.as_str()).into_response()
}

#[cfg(test)]
mod tests;
