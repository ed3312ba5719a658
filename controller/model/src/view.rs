//! A stored object as the API shows it.

mod network;

use rempart_api::fleet::{HostResources, HostStatus};
use rempart_api::{Kind, Metadata, MetadataVariant, Reference, ResourceView, Status, Urn};
use serde_json::{Value, json};

use crate::explain::{explain, host_state};
use crate::kinds::Spec;
use crate::object::{Detail, HostDetail, Object};
use crate::occupancy::Offer;
use crate::placement::Verdicts;
use crate::state::State;

/// How resources are shown to this caller, here.
#[derive(Debug, Clone, Copy)]
pub struct Presentation<'a> {
    /// Outside base URL of this installation, without a trailing slash.
    pub public_url: &'a str,
    /// Providers to advertise in the region.
    pub providers: &'a [rempart_api::Provider],
    /// HTTP method of the request, for `metadata.verb`.
    pub verb: &'a str,
    /// Show what only operators may see.
    pub operator: bool,
    /// What the State shown says to instances that wait: given, when many objects of it are shown.
    pub verdicts: Option<&'a Verdicts>,
}

/// `object` as it is named itself.
pub fn view(state: &State, object: &Object, show: Presentation<'_>) -> ResourceView {
    view_of(state, object, &object.urn, show)
}

/// `object` under the name it was asked by: a shared catalogue entry appears under the caller's own tenant.
pub fn view_of(state: &State, object: &Object, asked: &Urn, show: Presentation<'_>) -> ResourceView {
    let map = |map: &rempart_api::StringMap| (!map.is_empty()).then(|| map.clone());
    ResourceView {
        labels: map(&object.labels),
        annotations: map(&object.annotations),
        extensions: map(&object.extensions),
        metadata: metadata(state, object, asked, show.verb),
        spec: spec(object, show),
        status: object.urn.kind.info().has_status.then(|| status(state, object, show)),
    }
}

fn metadata(state: &State, object: &Object, asked: &Urn, verb: &str) -> Metadata {
    let info = asked.kind.info();
    let variant = info.metadata;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let regional = !matches!(variant, MetadataVariant::Global | MetadataVariant::GlobalTenant);
    let mut metadata = Metadata {
        name: asked.name.clone(),
        api_version: "v1".to_owned(),
        kind: info.name.to_owned(),
        provider: info.provider.id().to_owned(),
        resource: asked.resource(),
        reference: asked.to_string(),
        verb: verb.to_owned(),
        tenant: given(&asked.tenant),
        workspace: given(&asked.workspace),
        network: given(&asked.network),
        region: regional.then(|| state.core.region.clone()),
        ..Metadata::default()
    };
    if variant != MetadataVariant::Sku {
        metadata.created_at = Some(object.created_at);
        metadata.last_modified_at = Some(object.modified_at);
        metadata.deleted_at = object.deleted_at;
        metadata.resource_version = Some(object.resource_version);
    }
    metadata
}

fn spec(object: &Object, show: Presentation<'_>) -> Value {
    match &object.spec {
        Spec::Region(region) => {
            let mut region = region.clone();
            region.providers = show
                .providers
                .iter()
                .map(|provider| rempart_api::region::RegionProvider {
                    name: provider.name().to_owned(),
                    version: "v1".to_owned(),
                    url: format!("{}/providers/{}", show.public_url, provider.name()),
                })
                .collect();
            Spec::Region(region).to_json()
        }
        other => other.to_json(),
    }
}

fn status(state: &State, object: &Object, show: Presentation<'_>) -> Value {
    let mut shared: Status = object.status.clone();
    let fresh = Verdicts::default();
    let verdicts = show.verdicts.unwrap_or(&fresh);
    shared.explain(explain(state, object, verdicts).as_ref().map(|why| {
        let words = if show.operator { &why.operator } else { &why.tenant };
        (why.reason.as_str(), words.clone())
    }));
    let mut status = serde_json::to_value(&shared).unwrap_or_default();
    match (&object.spec, &object.detail) {
        (Spec::Workspace(_), _) => {
            let networks = Urn::workspace(Kind::Network, &object.urn.tenant, &object.urn.name, "");
            let nested: u64 =
                state.collection(&networks).map(|network| state.child_count(&network.urn)).sum();
            status["resourceCount"] = json!(state.child_count(&object.urn) + nested);
        }
        (Spec::Tenant(_), _) => status["usage"] = json!(state.usage(&object.urn.name, "")),
        (Spec::WorkspaceQuota(_), _) => {
            status["usage"] = json!(state.usage(&object.urn.tenant, &object.urn.name));
        }
        (_, Detail::Instance(instance)) => {
            status["powerState"] = json!(instance.power_state);
            if let Some(since) = instance.power_state_since {
                status["powerStateSince"] = json!(since);
            }
        }
        (Spec::BlockStorage(spec), Detail::Volume(volume)) => {
            status["sizeGB"] = json!(volume.realised_size_gb.unwrap_or(spec.size_gb));
            if let Some(user) = state.referrers(&object.urn).find(|user| user.urn.kind == Kind::Instance) {
                status["attachedTo"] = json!(Reference::to_urn(&user.urn));
            }
        }
        (_, Detail::Image(image)) => {
            let bytes =
                image.content.as_ref().map_or(u64::from(image.size_gb) << 30, |blob| blob.virtual_size_bytes);
            status["sizeMB"] = json!(bytes.div_ceil(1 << 20).max(1));
        }
        (_, Detail::Host(host)) => {
            if let (Ok(Value::Object(own)), Some(status)) =
                (serde_json::to_value(host_status(state, object, host)), status.as_object_mut())
            {
                status.extend(own);
            }
        }
        _ => network::add(state, object, &mut status),
    }
    status
}

fn host_status(state: &State, object: &Object, host: &HostDetail) -> HostStatus {
    let taken = state.allocated(&object.urn.name);
    let offer = Offer::of(object);
    HostStatus {
        host_state: host_state(object, host),
        reachable: host.reachable,
        since: host.since,
        reported_at: host.reported_at,
        host: host.report.clone(),
        allocatable: offer.map_or_else(HostResources::default, |offer| HostResources {
            vcpus: offer.vcpus,
            memory_mib: offer.memory_mib,
            disk_mib: offer.disk_mib,
        }),
        allocated: HostResources {
            vcpus: taken.vcpus,
            memory_mib: taken.memory_mib,
            disk_mib: Some(taken.disk_mib),
        },
        instances: taken.instances,
        volumes: taken.volumes,
        enrolled_at: host.identity.as_ref().map(|identity| identity.enrolled_at),
        revoked_at: host.identity.as_ref().and_then(|identity| identity.revoked_at),
    }
}

#[cfg(test)]
mod tests;
