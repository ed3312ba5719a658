//! The guest image `tiny`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A built image, and where hosts find it by its digest.
#[derive(Debug, Clone)]
pub struct TinyImage {
    /// Directory of images named by digest, for `rempart-agent --image-dir`.
    pub dir: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of bytes.
    pub size_bytes: u64,
    /// Size of the disk in it.
    pub virtual_size_bytes: u64,
}

impl TinyImage {
    /// The content as the API takes it.
    pub fn content(&self) -> Value {
        json!({
            "sha256": self.sha256,
            "format": "qcow2",
            "sizeBytes": self.size_bytes,
            "virtualSizeBytes": self.virtual_size_bytes,
        })
    }
}

/// The repository this was built from.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Builds `tiny` if it is not in the cache, and lays it into `dir` under its digest.
///
/// # Errors
/// When it cannot be built; what `images/build` said is in the error.
pub fn tiny_image(dir: &Path) -> anyhow::Result<TinyImage> {
    let cache = std::env::var_os("REMPART_IMAGE_CACHE")
        .map_or_else(|| "/var/cache/rempart/images".into(), PathBuf::from);
    let output = Command::new(repository().join("images/build"))
        .arg("tiny")
        .env("REMPART_IMAGE_CACHE", &cache)
        .output()
        .context("running images/build")?;
    if !output.status.success() {
        bail!("images/build tiny failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let bytes = fs::read(cache.join("tiny.qcow2"))?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    // qcow2 header: the virtual size is the big-endian number at offset 24.
    let field: [u8; 8] = bytes.get(24..32).context("tiny.qcow2 is shorter than its header")?.try_into()?;
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("{sha256}.qcow2"));
    if !path.exists() {
        let part = dir.join(format!("{sha256}.part"));
        fs::write(&part, &bytes)?;
        fs::rename(part, path)?;
    }
    Ok(TinyImage {
        dir: dir.to_owned(),
        sha256,
        size_bytes: bytes.len() as u64,
        virtual_size_bytes: u64::from_be_bytes(field),
    })
}

/// The operator's side of an image: a volume in the shared tenant, filled with content the hosts have, and the image
/// `tiny` of it.
///
/// # Errors
/// When the API refuses.
pub async fn offer_image(operator: &Client, base_url: &str, image: &TinyImage) -> anyhow::Result<()> {
    let workspace = Urn::tenant(Kind::Workspace, "public", "images");
    operator.put(&workspace, &json!({ "spec": {} })).await?;
    let volume = Urn::workspace(Kind::BlockStorage, "public", "images", "tiny");
    operator.put(&volume, &json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } })).await?;
    let content = format!("{base_url}/providers/seca.storage/v1/{}/content", volume.path());
    operator.send(reqwest::Method::PUT, &content, Some(&image.content()), None).await?;
    let spec = json!({
        "blockStorageRef": "workspaces/images/block-storages/tiny",
        "cpuArchitecture": "amd64",
        "boot": "BIOS",
        "initializer": "cloudinit-22",
    });
    operator.put(&Urn::tenant(Kind::Image, "public", "tiny"), &json!({ "spec": spec })).await?;
    Ok(())
}
