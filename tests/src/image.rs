//! The guest image `tiny`: built, and offered to tenants by uploading it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A built image.
#[derive(Debug, Clone)]
pub struct TinyImage {
    /// The file, a qcow2.
    pub file: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of bytes.
    pub size_bytes: u64,
}

/// The repository this was built from.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// SHA-256 of bytes, as the API takes it.
pub fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Builds the image `name` if it is not in the cache, and says where it is.
///
/// # Errors
/// When it cannot be built; what `images/build` said is in the error.
pub fn built_image(name: &str) -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("REMPART_IMAGE_CACHE")
        .map_or_else(|| "/var/cache/rempart/images".into(), PathBuf::from);
    let output = Command::new(repository().join("images/build"))
        .arg(name)
        .env("REMPART_IMAGE_CACHE", &cache)
        .output()
        .context("running images/build")?;
    if !output.status.success() {
        bail!("images/build {name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(cache.join(format!("{name}.qcow2")))
}

/// Builds `tiny` if it is not in the cache.
///
/// # Errors
/// When it cannot be built.
pub fn tiny_image() -> anyhow::Result<TinyImage> {
    let file = built_image("tiny")?;
    let bytes = fs::read(&file)?;
    Ok(TinyImage { file, sha256: sha256_of(&bytes), size_bytes: bytes.len() as u64 })
}

/// The operator's side of an image: a volume in the shared tenant, filled by an upload, and the image `tiny` of it.
///
/// # Errors
/// When the API refuses.
pub async fn offer_image(operator: &Client, image: &TinyImage) -> anyhow::Result<()> {
    let workspace = Urn::tenant(Kind::Workspace, "public", "images");
    operator.put(&workspace, &json!({ "spec": {} })).await?;
    let volume = Urn::workspace(Kind::BlockStorage, "public", "images", "tiny");
    operator.put(&volume, &json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } })).await?;
    let query = [("format", "qcow2"), ("sha256", image.sha256.as_str())];
    let file = tokio::fs::File::open(&image.file).await?;
    operator.upload(&volume, "content", &query, (file, image.size_bytes), |_| {}).await?;
    let spec = json!({
        "blockStorageRef": "workspaces/images/block-storages/tiny",
        "cpuArchitecture": "amd64",
        "boot": "BIOS",
        "initializer": "cloudinit-22",
    });
    operator.put(&Urn::tenant(Kind::Image, "public", "tiny"), &json!({ "spec": spec })).await?;
    Ok(())
}
