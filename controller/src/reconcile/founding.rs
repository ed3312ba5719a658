//! Founding: a new cluster gets its identity, its region, the shared tenant and a first catalogue. Once founded, the
//! catalogue is the operator's: nothing here is written a second time.

use rempart_api::compute::InstanceSkuSpec;
use rempart_api::network::NetworkSkuSpec;
use rempart_api::storage::{StorageClass, StorageSkuSpec};
use rempart_api::tenancy::{Quota, TenantSpec};
use rempart_api::{Kind, StringMap, Urn};
use rempart_model::{Command, PutCommand, SHARED_TENANT, Spec};
use uuid::Uuid;

use super::PAUSE;
use crate::raft::Node;
use crate::replica::Replica;
use crate::replica::{mint, propose_as_system};

/// What a new cluster is.
#[derive(Debug, Clone)]
pub struct Founding {
    /// Its identity.
    pub cluster_id: Uuid,
    /// Its region.
    pub region: String,
    /// The region's zones.
    pub zones: Vec<String>,
}

/// Founds the cluster if it is not, then waits for ever.
pub(super) async fn run(node: &Node, replica: &Replica, founding: &Founding) {
    loop {
        match found(node, replica, founding).await {
            Ok(()) => return std::future::pending().await,
            Err(error) => tracing::warn!(error = %error.message(), "founding the cluster; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn found(node: &Node, replica: &Replica, founding: &Founding) -> Result<(), tonic::Status> {
    // Before that, all of it would be on this disk alone.
    node.complete().await;
    // What an earlier leader committed must be here before looking.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let seen = node.see_everything(deadline).await;
    seen.map_err(unavailable)?;
    if replica.state().core().cluster_id.is_none() {
        let command = rempart_model::Founding {
            cluster_id: founding.cluster_id,
            region: founding.region.clone(),
            zones: founding.zones.clone(),
            catalogue: catalogue(),
        };
        // One entry for all of it: a cluster is never half founded.
        if let Err(refusal) = &*propose_as_system(node, Command::Found(command)).await.map_err(unavailable)? {
            tracing::error!(detail = refusal.detail, "founding refused");
        }
    }
    Ok(())
}

fn unavailable(error: impl std::fmt::Display) -> tonic::Status {
    tonic::Status::unavailable(error.to_string())
}

/// A first catalogue, in the shared tenant.
fn catalogue() -> Vec<PutCommand> {
    let put = |urn, labels, spec| PutCommand {
        urn,
        if_unmodified_since: None,
        labels,
        annotations: StringMap::new(),
        extensions: StringMap::new(),
        spec,
        uid: mint(),
        host: None,
    };
    let owners = vec!["system".to_owned()];
    let owner = TenantSpec { owners, subjects: None, suspended: false, quota: Quota::new() };
    let shared = Urn::global(Kind::Tenant, SHARED_TENANT);
    let mut entries = vec![put(shared, StringMap::new(), owner.into())];
    let labels = |tier: &str, more: &[(&str, &str)]| {
        let own = [("Provider", "seca"), ("provider", "seca"), ("Tier", tier), ("tier", tier)];
        own.iter()
            .chain(more)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<StringMap>()
    };
    for (name, tier, vcpu, ram) in [
        ("seca.d2xs", "D2XS", 1, 1),
        ("seca.dxs", "DXS", 1, 2),
        ("seca.ds", "DS", 2, 4),
        ("seca.dm", "DM", 4, 8),
        ("seca.dl", "DL", 8, 16),
        ("seca.dxl", "DXL", 16, 32),
    ] {
        let architecture = [("Architecture", "amd64"), ("architecture", "amd64")];
        let urn = Urn::tenant(Kind::InstanceSku, SHARED_TENANT, name);
        entries.push(put(urn, labels(tier, &architecture), Spec::from(InstanceSkuSpec { vcpu, ram })));
    }
    // Local disks without redundancy: the honest class is the ephemeral one.
    for (name, tier, iops) in [("seca.le500", "LE500", 500), ("seca.le5k", "LE5K", 5000)] {
        let spec = StorageSkuSpec { iops, min_volume_size: 1, class: StorageClass::LocalEphemeral };
        let urn = Urn::tenant(Kind::StorageSku, SHARED_TENANT, name);
        entries.push(put(urn, labels(tier, &[]), spec.into()));
    }
    for (name, tier, bandwidth, packets) in [
        ("seca.n1k", "N1K", 1000, 10_000),
        ("seca.n5k", "N5K", 5000, 40_000),
        ("seca.n10k", "N10K", 10_000, 80_000),
    ] {
        let urn = Urn::tenant(Kind::NetworkSku, SHARED_TENANT, name);
        entries.push(put(urn, labels(tier, &[]), Spec::from(NetworkSkuSpec { bandwidth, packets })));
    }
    entries
}
