//! Finds firmware for UEFI guests, by the descriptors that QEMU's firmware packages install
//! (QEMU's `docs/interop/firmware.json`), so that no distribution's paths are built in.

use super::definition::UefiImage;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Where descriptors lie. A file in an earlier directory hides one of the same name in a later.
const DIRECTORIES: [&str; 2] = ["/etc/qemu/firmware", "/usr/share/qemu/firmware"];

/// What enforces or presumes secure boot, or needs a machine that our definitions do not describe.
const UNWANTED_FEATURES: [&str; 3] = ["secure-boot", "enrolled-keys", "requires-smm"];

/// The firmware that UEFI guests of this host start with.
pub fn uefi_of_this_host() -> Option<UefiImage> {
    find(&DIRECTORIES.map(Path::new))
}

/// The first fitting firmware by file name, which is how descriptors state their priority.
fn find(directories: &[&Path]) -> Option<UefiImage> {
    let mut descriptors = BTreeMap::new();
    for directory in directories.iter().rev() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            descriptors.insert(entry.file_name(), entry.path());
        }
    }
    descriptors
        .into_iter()
        .filter(|(name, _)| Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .filter_map(|(_, path)| serde_json::from_str::<Descriptor>(&fs::read_to_string(path).ok()?).ok())
        .filter_map(Descriptor::into_image)
        .find(|image| image.code.is_file() && image.variables_template.is_file())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    mode: Option<String>,
    executable: Option<Image>,
    nvram_template: Option<Image>,
}

#[derive(Debug, Deserialize)]
struct Image {
    filename: PathBuf,
    format: String,
}

#[derive(Debug, Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

impl Descriptor {
    fn into_image(self) -> Option<UefiImage> {
        let q35 = |target: &Target| {
            target.architecture == "x86_64" && target.machines.iter().any(|name| name.starts_with("pc-q35-"))
        };
        let split_flash =
            self.mapping.device == "flash" && self.mapping.mode.as_deref().is_none_or(|mode| mode == "split");
        let fits = self.interface_types.iter().any(|kind| kind == "uefi")
            && split_flash
            && self.targets.iter().any(q35)
            && !self.features.iter().any(|feature| UNWANTED_FEATURES.contains(&feature.as_str()));
        let raw = |image: Image| (image.format == "raw").then_some(image.filename);
        if !fits {
            return None;
        }
        Some(UefiImage {
            code: self.mapping.executable.and_then(raw)?,
            variables_template: self.mapping.nvram_template.and_then(raw)?,
        })
    }
}
