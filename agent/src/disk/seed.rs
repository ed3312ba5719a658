//! The NoCloud seed: a small FAT image labelled CIDATA from which cloud-init configures a guest.
//!
//! Everything a tenant wrote goes through a typed serialiser, or is the whole content of a file of its own: no
//! string can become another key, whatever it contains. cloud-init reads our JSON with a YAML parser, so it is
//! written in the part of JSON that both read alike ([`YamlSafe`]). The same seed always gives the same bytes.
//!
//! After the file system follows one sector with the fingerprint of the seed it was made from, by which
//! [`read_fingerprint`] tells whether a file is current without reading it all.

use super::DiskError;
use crate::desired::Seed;
use crate::durable;
use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use serde::Serialize;
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Cursor, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

#[cfg(test)]
mod tests;

/// Size of the file system: fits the largest seed `desired::wire` lets in, even if every byte is escaped.
const FILE_SYSTEM_BYTES: usize = 2 << 20;
const TRAILER_BYTES: usize = 512;
const TRAILER_PREFIX: &str = "rempart-seed-1 ";
const VOLUME_LABEL: [u8; 11] = *b"CIDATA     ";
/// The same for all, so that equal seeds are equal bytes.
const VOLUME_ID: u32 = 0x5245_4d50;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MetaData<'a> {
    instance_id: &'a str,
    local_hostname: &'a str,
    public_keys: &'a [String],
}

#[derive(Serialize)]
struct VendorData<'a> {
    ssh_authorized_keys: &'a [String],
}

/// Writes the seed image atomically, readable by its owner alone.
pub fn write(path: &Path, seed: &Seed) -> Result<(), DiskError> {
    durable::replace(path, &image(seed)?).map_err(DiskError::at(path))
}

/// Names the content of a seed: changes exactly when the image would.
pub fn fingerprint(seed: &Seed) -> String {
    let mut hasher = Sha256::new();
    hasher.update(TRAILER_PREFIX);
    for field in [&seed.instance_id, &seed.hostname, &seed.user_data].into_iter().chain(&seed.ssh_keys) {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    format!("{:x}", hasher.finalize())
}

/// The fingerprint of the seed a file was made from; none if there is no such file or it is not ours.
pub fn read_fingerprint(path: &Path) -> Option<String> {
    let mut trailer = [0; TRAILER_BYTES];
    File::open(path).ok()?.read_exact_at(&mut trailer, FILE_SYSTEM_BYTES as u64).ok()?;
    let text = std::str::from_utf8(&trailer).ok()?;
    Some(text.strip_prefix(TRAILER_PREFIX)?.trim_end_matches('\0').to_owned())
}

/// The bytes of the image.
fn image(seed: &Seed) -> Result<Vec<u8>, DiskError> {
    let too_large = |error: io::Error| DiskError::SeedTooLarge(error.to_string());
    let meta_data = MetaData {
        instance_id: &seed.instance_id,
        local_hostname: &seed.hostname,
        public_keys: &seed.ssh_keys,
    };
    let mut vendor_data = b"#cloud-config\n".to_vec();
    vendor_data.extend(json(&VendorData { ssh_authorized_keys: &seed.ssh_keys }).map_err(too_large)?);
    let mut bytes = file_system(&[
        ("meta-data", &json(&meta_data).map_err(too_large)?),
        ("user-data", seed.user_data.as_bytes()),
        ("vendor-data", &vendor_data),
    ])
    .map_err(too_large)?;
    bytes.extend_from_slice(TRAILER_PREFIX.as_bytes());
    bytes.extend_from_slice(fingerprint(seed).as_bytes());
    bytes.resize(FILE_SYSTEM_BYTES + TRAILER_BYTES, 0);
    Ok(bytes)
}

fn file_system(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FILE_SYSTEM_BYTES];
    let options = FormatVolumeOptions::new().volume_label(VOLUME_LABEL).volume_id(VOLUME_ID);
    fatfs::format_volume(Cursor::new(bytes.as_mut_slice()), options)?;
    let options = FsOptions::new().time_provider(&StoppedClock);
    let volume = FileSystem::new(Cursor::new(bytes.as_mut_slice()), options)?;
    for (name, content) in files {
        volume.root_dir().create_file(name)?.write_all(content)?;
    }
    volume.unmount()?;
    Ok(bytes)
}

/// Timestamps would make equal seeds differ.
#[derive(Debug)]
struct StoppedClock;

impl TimeProvider for StoppedClock {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, YamlSafe))?;
    Ok(bytes)
}

/// JSON that a YAML parser reads the same: outside ASCII, YAML folds some characters as line breaks and refuses
/// others, so they are escaped. Beyond the basic plane they are written as they are, because YAML does not join
/// surrogates.
struct YamlSafe;

impl Formatter for YamlSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            match u32::from(character) {
                0x20..=0x7e | 0x1_0000.. => write!(writer, "{character}")?,
                code => write!(writer, "\\u{code:04x}")?,
            }
        }
        Ok(())
    }
}
