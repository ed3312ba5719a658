//! The controllers themselves over HTTP: `rempart.cluster` (`rempart_api::cluster`). For operators alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{Request as HttpRequest, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use rempart_api::ProblemSource;
use rempart_api::cluster::{Replica, ReplicaSpec};
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

async fn no_method(request: HttpRequest<Body>, allowed: &'static str) -> Response {
    Failure::Method(allowed).into_response(request.uri().path(), StatusTable::default())
}

/// As everywhere: who asks, then what.
async fn ask(
    settings: &Settings,
    asked: &Asked,
    headers: &axum::http::HeaderMap,
    call: Result<ClusterCall, Failure>,
) -> Result<ClusterReply, Failure> {
    let caller = caller(settings, asked, headers).await?;
    if !caller.operates {
        return Err(Failure::Service(crate::service::ServiceError::Forbidden));
    }
    let request = ClusterRequest { id: asked.id, caller, call: call? };
    settings.service.cluster(request).await.map_err(Failure::Service)
}

fn number(id: Id) -> Result<u64, Failure> {
    id.map(|Path(id)| id).map_err(|_| Failure::NoRoute("a controller's id is a number".to_owned()))
}

async fn list(Shared(settings): Shared<Arc<Settings>>, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        match ask(settings, &asked, request.headers(), Ok(ClusterCall::List)).await? {
            ClusterReply::Replicas(list) => Ok(axum::Json(list).into_response()),
            ClusterReply::Accepted => Err(Failure::internal()),
        }
    })
    .await
}

async fn show(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let reply = ask(settings, &asked, request.headers(), Ok(ClusterCall::List)).await?;
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
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let (head, body) = request.into_parts();
        let call = async {
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
        };
        let call = call.await;
        ask(settings, &asked, &head.headers, call).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    })
    .await
}

async fn leave(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let call = number(id).map(|replica_id| ClusterCall::Leave { replica_id });
        ask(settings, &asked, request.headers(), call).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    })
    .await
}

async fn hand_over(Shared(settings): Shared<Arc<Settings>>, id: Id, request: HttpRequest<Body>) -> Response {
    let settings = &*settings;
    answered(settings, StatusTable::Spec, None, request, |asked, request| async move {
        let call = number(id).map(|replica_id| ClusterCall::Lead { replica_id });
        ask(settings, &asked, request.headers(), call).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    })
    .await
}
