//! Our note in a domain's metadata, read back.

use super::Facts;
use serde::Deserialize;

/// What a domain was defined from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DefinedFrom {
    #[serde(rename = "@definition")]
    guest: String,
    #[serde(rename = "@host")]
    host: String,
}

impl DefinedFrom {
    /// Reads the element that libvirt keeps under our namespace; `None` if it is not as we write it.
    pub fn read(element: &str) -> Option<Self> {
        quick_xml::de::from_str(element).ok()
    }

    /// The guest's digest, where the domain was defined on a host like this one.
    ///
    /// Otherwise (KVM became usable, OVMF moved) something that equals no guest's digest, so that the domain is
    /// found to be ours, and defined anew while it is off.
    pub fn as_seen_from(self, facts: &Facts) -> String {
        if self.host == facts.digest() { self.guest } else { format!("{}, for another host", self.guest) }
    }
}
