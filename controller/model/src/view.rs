//! A stored object as the API shows it.

mod network;

use rempart_api::fleet::{HostResources, HostStatus};
use rempart_api::{Kind, Metadata, MetadataVariant, Reference, ResourceView, Status, Urn};
use serde_json::{Map, Value, json};

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
    pub providers: &'a [&'a str],
    /// HTTP method of the request, for `metadata.verb`.
    pub verb: &'a str,
    /// Show what only operators may see.
    pub operator: bool,
    /// What the State shown says to instances that wait: given, when many objects of it are shown.
    pub verdicts: Option<&'a Verdicts>,
}

/// What a view shows of other objects. Equal circumstances of one object make equal views of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    /// Why it is not plainly fine: a stable word, and words for whom it is shown to.
    why: Option<(String, String)>,
    around: Around,
}

/// Members of a status that tell of other objects.
#[derive(Debug, Clone, PartialEq)]
enum Around {
    /// SECA's `resourceCount`.
    ResourceCount(u64),
    Members(Map<String, Value>),
}

/// What `object` is shown with besides itself.
pub fn circumstances(state: &State, object: &Object, show: Presentation<'_>) -> Circumstances {
    let fresh = Verdicts::default();
    let why = explain(state, object, show.verdicts.unwrap_or(&fresh));
    Circumstances {
        why: why.map(|why| (why.reason, if show.operator { why.operator } else { why.tenant })),
        around: around(state, object),
    }
}

/// `object` as it is named itself.
pub fn view(state: &State, object: &Object, show: Presentation<'_>) -> ResourceView {
    view_in(state, object, &object.urn, show, circumstances(state, object, show))
}

/// `object` in these circumstances, under the name it was asked by: a shared catalogue entry appears under the caller's own
/// tenant. Of `state` it shows nothing but the region.
pub fn view_in(
    state: &State,
    object: &Object,
    asked: &Urn,
    show: Presentation<'_>,
    circumstances: Circumstances,
) -> ResourceView {
    let map = |map: &rempart_api::StringMap| (!map.is_empty()).then(|| map.clone());
    ResourceView {
        labels: map(&object.labels),
        annotations: map(&object.annotations),
        extensions: map(&object.extensions),
        metadata: metadata(state, object, asked, show.verb),
        spec: spec(object, show),
        status: object.urn.kind.info().has_status.then(|| status(object, circumstances)),
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
            let mut region = (**region).clone();
            region.providers = show
                .providers
                .iter()
                .map(|provider| rempart_api::region::RegionProvider {
                    name: (*provider).to_owned(),
                    version: "v1".to_owned(),
                    url: format!("{}/providers/{provider}", show.public_url),
                })
                .collect();
            Spec::from(region).to_json()
        }
        other => other.to_json(),
    }
}

fn status(object: &Object, circumstances: Circumstances) -> Value {
    let mut shared: Status = object.status.clone();
    shared.explain(circumstances.why.as_ref().map(|(reason, words)| (reason.as_str(), words.clone())));
    let mut status = serde_json::to_value(&shared).unwrap_or_default();
    match (&object.spec, &object.detail) {
        (_, Detail::Instance(instance)) => {
            status["powerState"] = json!(instance.power_state);
            if let Some(since) = instance.power_state_since {
                status["powerStateSince"] = json!(since);
            }
        }
        (Spec::BlockStorage(spec), Detail::Volume(volume)) => {
            status["sizeGB"] = json!(volume.realised_size_gb.unwrap_or(spec.size_gb));
        }
        (_, Detail::Image(image)) => {
            let bytes =
                image.content.as_ref().map_or(u64::from(image.size_gb) << 30, |blob| blob.virtual_size_bytes);
            status["sizeMB"] = json!(bytes.div_ceil(1 << 20).max(1));
        }
        _ => network::add_own(object, &mut status),
    }
    match circumstances.around {
        Around::ResourceCount(count) => status["resourceCount"] = json!(count),
        Around::Members(members) => {
            if let Some(status) = status.as_object_mut() {
                status.extend(members);
            }
        }
    }
    status
}

fn around(state: &State, object: &Object) -> Around {
    let mut members = Map::new();
    match (&object.spec, &object.detail) {
        (Spec::Workspace(_), _) => return Around::ResourceCount(resource_count(state, &object.urn)),
        (Spec::Tenant(_), _) => {
            _ = members.insert("usage".to_owned(), json!(state.usage(&object.urn.name, "")))
        }
        (Spec::WorkspaceQuota(_), _) => {
            let usage = state.usage(&object.urn.tenant, &object.urn.name);
            members.insert("usage".to_owned(), json!(usage));
        }
        (Spec::BlockStorage(_), _) => {
            if let Some(user) = state.referrers(&object.urn).find(|user| user.urn.kind == Kind::Instance) {
                members.insert("attachedTo".to_owned(), json!(Reference::to_urn(&user.urn)));
            }
        }
        (_, Detail::Host(host)) => {
            if let Ok(Value::Object(own)) = serde_json::to_value(host_status(state, object, host)) {
                members = own;
            }
        }
        _ => network::add_around(state, object, &mut members),
    }
    Around::Members(members)
}

/// Everything in a workspace, that in its networks too.
fn resource_count(state: &State, workspace: &Urn) -> u64 {
    let direct = state.child_count(workspace);
    if direct == 0 {
        return 0;
    }
    let networks = Urn::workspace(Kind::Network, &workspace.tenant, &workspace.name, "");
    direct + state.collection(&networks).map(|network| state.child_count(&network.urn)).sum::<u64>()
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
