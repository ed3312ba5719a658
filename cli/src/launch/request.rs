//! What `rempart run` asks for: options, defaults looked up from the API, and files, as bodies of PUTs.
//!
//! Everything that can be wrong with the command line or its files is found here, before anything is made.

use std::path::Path;

use rempart_api::{Kind, ResourceView, Urn};
use serde_json::{Value, json};

use super::Run;
use crate::argument;
use crate::failure::{Exit, Failure, Result};
use crate::input;
use crate::session::Session;

/// The tenant that shares images with all others.
const SHARED_TENANT: &str = "public";

/// `NAME:GB`, or `NAME` of one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataVolume {
    name: String,
    size_gb: Option<u32>,
}

impl DataVolume {
    pub(super) fn parse(text: &str) -> std::result::Result<DataVolume, String> {
        let (name, size) = text.split_once(':').map_or((text, None), |(name, size)| (name, Some(size)));
        rempart_api::check_name(name).map_err(|error| format!("its name {error}"))?;
        let size_gb = match size {
            None => None,
            Some(size) => Some(argument::gigabytes(size).map_err(|why| format!("its size {why}"))?),
        };
        Ok(DataVolume { name: name.to_owned(), size_gb })
    }
}

/// The most that is read of a file of keys or of user data; what the server takes is less.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What the files hold that the command line names: read before anything is asked.
pub(crate) struct Files {
    keys: Vec<String>,
    user_data: Option<String>,
}

impl Files {
    pub(crate) async fn read(run: &Run) -> Result<Files> {
        let mut keys = Vec::new();
        for path in &run.ssh_keys {
            keys.extend(public_keys(path).await?);
        }
        let user_data = match &run.user_data {
            Some(path) => Some(input::text(path, MAX_FILE_BYTES).await?),
            None => None,
        };
        Ok(Files { keys, user_data })
    }
}

/// What is to be there, in the order of making it.
pub(super) struct Request {
    pub(super) workspace: Option<(Urn, Value)>,
    pub(super) volumes: Vec<(Urn, Value)>,
    pub(super) instance: (Urn, Value),
}

impl Request {
    pub(super) async fn prepare(session: &Session<'_>, run: &Run, files: Files) -> Result<Request> {
        let instance = session.urn(Kind::Instance, &run.name)?;
        let boot = instance.sibling(Kind::BlockStorage, &format!("{}-boot", instance.name));
        session.urn(Kind::BlockStorage, &boot.name)?;
        let Files { keys, user_data } = files;
        let (image, view) = find_image(session, &run.image).await?;
        check_sku(session, &run.sku).await?;
        let size_gb = match run.size_gb {
            Some(size) => size,
            None => image_size_gb(&view),
        };
        let volume_sku = match &run.volume_sku {
            Some(sku) => sku.clone(),
            None => first_storage_sku(session).await?,
        };
        let zone = match &run.zone {
            Some(zone) => zone.clone(),
            None => first_zone(session).await?,
        };
        let sku = |name: &str| json!({ "resource": format!("skus/{name}") });
        let device = |name: &str| json!({ "deviceRef": { "resource": format!("block-storages/{name}") } });
        let source = json!({ "resource": image });
        let spec = json!({ "sizeGB": size_gb, "skuRef": sku(&volume_sku), "sourceImageRef": source });
        let mut volumes = vec![(boot.clone(), json!({ "spec": spec }))];
        for data in &run.data_volumes {
            if let Some(size_gb) = data.size_gb {
                let spec = json!({ "sizeGB": size_gb, "skuRef": sku(&volume_sku) });
                volumes.push((boot.sibling(Kind::BlockStorage, &data.name), json!({ "spec": spec })));
            }
        }
        let mut spec = json!({ "skuRef": sku(&run.sku), "zone": zone, "bootVolume": device(&boot.name) });
        if !run.data_volumes.is_empty() {
            spec["dataVolumes"] = run.data_volumes.iter().map(|data| device(&data.name)).collect();
        }
        if !keys.is_empty() {
            spec["sshKeys"] = json!(keys);
        }
        if let Some(text) = user_data {
            spec["userData"] = json!(text);
        }
        if let Some(group) = &run.anti_affinity_group {
            spec["antiAffinityGroup"] = json!(group);
        }
        let workspace = run.create_workspace.then(|| {
            (Urn::tenant(Kind::Workspace, &instance.tenant, &instance.workspace), json!({ "spec": {} }))
        });
        Ok(Request { workspace, volumes, instance: (instance, json!({ "spec": spec })) })
    }
}

/// The image of that name, the tenant's own before a shared one, as a reference.
async fn find_image(session: &Session<'_>, name: &str) -> Result<(String, ResourceView)> {
    let own = session.urn(Kind::Image, name)?;
    if let Some(view) = session.find(&own).await? {
        return Ok((format!("tenants/{}/images/{}", own.tenant, own.name), view));
    }
    let shared = Urn::tenant(Kind::Image, SHARED_TENANT, &own.name);
    if !name.contains('/')
        && let Some(view) = session.find(&shared).await?
    {
        return Ok((format!("tenants/{SHARED_TENANT}/images/{}", own.name), view));
    }
    let mut names = Vec::new();
    for tenant in [&own.tenant, SHARED_TENANT] {
        let listed = session.client.list_all(&Urn::tenant(Kind::Image, tenant, ""), None).await;
        names.extend(listed.unwrap_or_default().into_iter().map(|image| image.metadata.name));
    }
    names.sort();
    names.dedup();
    names.truncate(12);
    let known = if names.is_empty() { "there is none yet".to_owned() } else { names.join(", ") };
    Err(Failure::new(
        Exit::NotFound,
        format!("there is no image {:?}, neither of tenant {} nor a shared one", own.name, own.tenant),
    )
    .next(format!("Images: {known}. A new one: rempart image upload FILE --name NAME")))
}

/// Before anything is made: an instance of an SKU that is not there would be refused after its volumes.
async fn check_sku(session: &Session<'_>, name: &str) -> Result<()> {
    if session.find(&session.urn(Kind::InstanceSku, name)?).await?.is_some() {
        return Ok(());
    }
    let skus = session.list(Kind::InstanceSku, None).await?;
    let known: Vec<_> = skus.into_iter().map(|sku| sku.metadata.name).collect();
    Err(Failure::new(Exit::NotFound, format!("there is no instance SKU {name:?}"))
        .next(format!("SKUs: {}; what they are: rempart list skus", known.join(", "))))
}

/// The size of the disk in an image, in whole GB (GiB).
fn image_size_gb(image: &ResourceView) -> u32 {
    let mebibytes = image.status.as_ref().and_then(|status| status["sizeMB"].as_u64()).unwrap_or(1);
    u32::try_from(mebibytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

/// The storage SKU that is taken when none is asked for.
pub(crate) async fn first_storage_sku(session: &Session<'_>) -> Result<String> {
    let skus = session.list(Kind::StorageSku, None).await?;
    let first = skus.into_iter().next().ok_or_else(|| {
        Failure::failed("this installation offers no storage SKU").next("Its operator has to define one")
    })?;
    Ok(first.metadata.name)
}

async fn first_zone(session: &Session<'_>) -> Result<String> {
    let regions = session.list(Kind::Region, None).await?;
    let zones = regions.first().and_then(|region| region.spec["availableZones"].as_array());
    let zones: Vec<&str> = zones.into_iter().flatten().filter_map(Value::as_str).collect();
    let first = zones.first().ok_or_else(|| Failure::failed("this region has no zone"))?;
    if zones.len() > 1 {
        session
            .screen
            .note(&format!("Zone {first} is taken (of {}); --zone takes another.", zones.join(", ")));
    }
    Ok((*first).to_owned())
}

/// The public keys in a file, one a line.
async fn public_keys(path: &Path) -> Result<Vec<String>> {
    let text = input::text(path, MAX_FILE_BYTES).await?;
    if text.contains("PRIVATE KEY") {
        return Err(Failure::usage(format!(
            "{} is a private key: nobody else may ever see it",
            path.display()
        ))
        .next(format!("Give the public one: {}.pub", path.display())));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<String> = lines.map(str::to_owned).collect();
    let is_key = |key: &String| {
        ["ssh-", "ecdsa-", "sk-"].iter().any(|start| key.starts_with(start)) && key.contains(' ')
    };
    if keys.is_empty() || !keys.iter().all(is_key) {
        return Err(Failure::usage(format!("{} holds no SSH public key", path.display()))
            .next("A public key is a line such as: ssh-ed25519 AAAA... you@laptop"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_volumes_are_new_or_there() {
        let parse = |text: &str| DataVolume::parse(text);
        assert_eq!(parse("data:20"), Ok(DataVolume { name: "data".to_owned(), size_gb: Some(20) }));
        assert_eq!(parse("data"), Ok(DataVolume { name: "data".to_owned(), size_gb: None }));
        for bad in ["", ":5", "data:", "data:0", "data:x", "../x:1", "data:-1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let large = parse("a:9999999999").unwrap_err();
        assert!(large.contains("from 1 to 1000000"), "{large}");
    }

    #[tokio::test]
    async fn a_private_key_never_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").unwrap();
        assert!(public_keys(&path).await.unwrap_err().text.contains("id.pub"));
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(public_keys(&path).await.is_err());
        std::fs::write(&path, "# mine\nssh-ed25519 AAAA a@b\n\necdsa-sha2-nistp256 BBBB\n").unwrap();
        assert_eq!(public_keys(&path).await.unwrap(), ["ssh-ed25519 AAAA a@b", "ecdsa-sha2-nistp256 BBBB"]);
    }
}
