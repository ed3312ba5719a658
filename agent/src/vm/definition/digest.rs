//! Fingerprints by which a changed definition is noticed.

use super::{Facts, UefiImage};
use crate::vm::{Acceleration, Firmware, Guest, GuestDisk};
use sha2::{Digest as _, Sha256};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of the way definitions are written. Raise it when [`super::write`] changes what it makes of the same guest: every
/// guest is then defined anew at its next start (a golden test reminds you).
const LAYOUT: u64 = 1;

impl Guest {
    /// Fingerprint of the definition that this guest gets: equal guests have equal ones, others do not. 64
    /// hexadecimal digits.
    pub fn digest(&self) -> String {
        // Taken apart so that a new field cannot be forgotten.
        let Self { uuid, machine, cpu_model, firmware, vcpus, memory_mib, disks, seed, run_dir } = self;
        let mut fields = Fields::default();
        fields.number(LAYOUT).bytes(uuid.as_bytes()).text(machine).text(cpu_model);
        fields.number(match firmware {
            Firmware::Bios => 0,
            Firmware::Uefi => 1,
        });
        fields.number((*vcpus).into()).number(*memory_mib).path(seed).path(run_dir);
        fields.number(disks.len() as u64);
        for GuestDisk { path, slot, serial } in disks {
            fields.path(path).number((*slot).into()).text(serial);
        }
        fields.finish()
    }
}

impl Facts {
    /// Fingerprint of what the host contributes to a definition.
    pub fn digest(&self) -> String {
        let Self { acceleration, uefi } = self;
        let mut fields = Fields::default();
        fields.number(match acceleration {
            Acceleration::Kvm => 0,
            Acceleration::Emulation => 1,
        });
        if let Some(UefiImage { code, variables_template }) = uefi {
            fields.path(code).path(variables_template);
        }
        fields.finish()
    }
}

/// A hash over fields. Each is preceded by its length, so that no two sequences of fields run into the same bytes.
#[derive(Default)]
struct Fields(Sha256);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.bytes(path.as_os_str().as_bytes())
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
