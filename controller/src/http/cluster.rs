//! The controllers themselves over HTTP: `rempart.cluster` (`rempart_api::cluster`). For operators alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{Request as HttpRequest, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use rempart_api::ProblemSource;
use rempart_api::cluster::{Replica, ReplicaSpec, ResumeRequest};
use serde::Deserialize;

use super::answered::{Asked, answered};
use super::problem::{Failure, StatusTable};
use super::{Settings, caller, read};
use crate::service::{ClusterCall, ClusterReply, ClusterRequest};

/// All of them.
pub(super) const REPLICAS: &str = "/providers/rempart.cluster/v1/replicas";
/// One.
pub(super) const REPLICA: &str = "/providers/rempart.cluster/v1/replicas/{id}";
/// The one that is to lead.
pub(super) const LEAD: &str = "/providers/rempart.cluster/v1/replicas/{id}/lead";

/// A restored cluster is to take changes again.
pub(super) const RESUME: &str = "/providers/rempart.cluster/v1/resume";

type Id = Result<Path<u64>, axum::extract::rejection::PathRejection>;

#[derive(Deserialize)]
struct Sent {
    spec: ReplicaSpec,
}

pub(super) fn replicas() -> MethodRouter<Arc<Settings>> {
    get(list).fallback(|request| no_method(request, "GET"))
}

pub(super) fn replica() -> MethodRouter<Arc<Settings>> {
    get(show).put(join).delete(leave).fallback(|request| no_method(request, "GET, PUT, DELETE"))
}

pub(super) fn lead() -> MethodRouter<Arc<Settings>> {
    post(hand_over).fallback(|request| no_method(request, "POST"))
}

pub(super) fn resume() -> MethodRouter<Arc<Settings>> {
    post(take_changes).fallback(|request| no_method(request, "POST"))
}

pub(super) async fn no_method(request: HttpRequest<Body>, allowed: &'static str) -> Response {
    Failure::Method(allowed).into_response(request.uri().path(), StatusTable::default())
}

/// As everywhere: who asks, and whether they may, before anything is read of what they ask.
async fn ask<F>(
    settings: &Settings,
    asked: &Asked,
    request: HttpRequest<Body>,
    call: impl FnOnce(HttpRequest<Body>) -> F,
) -> Result<ClusterReply, Failure>
where
    F: Future<Output = Result<ClusterCall, Failure>>,
{
    let caller = caller(settings, asked, request.headers()).await?;
    if !caller.operates {
        return Err(Failure::Service(crate::service::ServiceError::Forbidden));
    }
    let request = ClusterRequest { id: asked.id, caller, call: call(request).await? };
    // In a box: what it waits for is deep.
    Box::pin(settings.service.cluster(request)).await.map_err(Failure::Service)
}

/// Has a change written down.
async fn change<F>(
    settings: &Settings,
    request: HttpRequest<Body>,
    call: impl FnOnce(HttpRequest<Body>) -> F,
) -> Response
where
    F: Future<Output = Result<ClusterCall, Failure>>,
{
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        ask(settings, &asked, request, call).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    })
    .await
}

fn number(id: Id) -> Result<u64, Failure> {
    id.map(|Path(id)| id).map_err(|_| Failure::NoRoute("a controller's id is a number".to_owned()))
}

async fn list(Shared(settings): Shared<Arc<Settings>>, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        match ask(settings, &asked, request, |_| async { Ok(ClusterCall::List) }).await? {
            ClusterReply::Replicas(list) => Ok(axum::Json(list).into_response()),
            ClusterReply::Accepted => Err(Failure::internal()),
        }
    })
    .await
}

async fn show(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let reply = ask(settings, &asked, request, |_| async { Ok(ClusterCall::List) }).await?;
        let (id, ClusterReply::Replicas(list)) = (number(id)?, reply) else {
            return Err(Failure::internal());
        };
        let found: Option<Replica> = list.items.into_iter().find(|replica| replica.id == id);
        match found {
            Some(replica) => Ok(axum::Json(replica).into_response()),
            None => Err(Failure::NoRoute(format!("there is no controller {id}"))),
        }
    })
    .await
}

async fn join(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    change(&settings, request, |request| async {
        let (head, body) = request.into_parts();
        let replica_id = number(id)?;
        let bytes = read(&head.headers, body).await?;
        let sent: Sent = serde_json::from_slice(&bytes).map_err(|error| {
            let at = ProblemSource { pointer: "/spec/address".to_owned(), parameter: String::new() };
            Failure::Malformed(
                vec![at],
                format!("the body is {{\"spec\": {{\"address\": \"HOST:PORT\"}}}}: {error}"),
            )
        })?;
        Ok(ClusterCall::Join { replica_id, address: sent.spec.address })
    })
    .await
}

async fn leave(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    change(&settings, request, |_| async { Ok(ClusterCall::Leave { replica_id: number(id)? }) }).await
}

async fn hand_over(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    change(&settings, request, |_| async { Ok(ClusterCall::Lead { replica_id: number(id)? }) }).await
}

async fn take_changes(Shared(settings): Shared<Arc<Settings>>, request: HttpRequest<Body>) -> Response {
    change(&settings, request, |request| async {
        let (head, body) = request.into_parts();
        let bytes = read(&head.headers, body).await?;
        let sent: ResumeRequest = serde_json::from_slice(&bytes).map_err(|error| {
            let at = ProblemSource { pointer: "/without".to_owned(), parameter: String::new() };
            Failure::Malformed(vec![at], format!("the body is {{\"without\": [\"HOST\"]}}: {error}"))
        })?;
        Ok(ClusterCall::Resume { without: sent.without })
    })
    .await
}
