//! What a host has to do: the part of the State that is compiled for its agent.

use rempart_api::storage::BlobSpec;
use uuid::Uuid;

use crate::kinds::Spec;
use crate::object::{Capture, Detail, Hardware, ImageDetail, Object, Placement, Power};
use crate::planted;
use crate::state::State;

/// An object as its host should have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesiredObject {
    /// A volume.
    Volume(DesiredVolume),
    /// An instance.
    Instance(Box<DesiredInstance>),
}

/// A volume as its host should have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredVolume {
    /// Incarnation; names the file.
    pub uid: Uuid,
    /// Generation a report must name to count as having realised this.
    pub generation: u64,
    /// Epoch of the placement.
    pub epoch: u64,
    /// False: it should go.
    pub present: bool,
    /// Size the guest sees, in bytes.
    pub size_bytes: u64,
    /// What it starts from; none = blank.
    pub content: Option<BlobSpec>,
    /// The image it is to be copied to.
    pub capture: Option<Uuid>,
    /// The request that last changed this; for logs.
    pub request_id: Option<Uuid>,
}

/// An instance as its host should have it. [`std::fmt::Debug`] does not show its user data.
#[derive(Clone, PartialEq, Eq)]
pub struct DesiredInstance {
    /// Incarnation; names the domain.
    pub uid: Uuid,
    /// Generation a report must name to count as having realised this.
    pub generation: u64,
    /// Epoch of the placement.
    pub epoch: u64,
    /// False: it should go.
    pub present: bool,
    /// Its hardware.
    pub hardware: Hardware,
    /// Host name the guest is given.
    pub hostname: String,
    /// Public keys the guest is given.
    pub ssh_keys: Vec<String>,
    /// User data the guest is given.
    pub user_data: String,
    /// Power.
    pub power: Power,
    /// The request that last changed this; for logs.
    pub request_id: Option<Uuid>,
}

impl std::fmt::Debug for DesiredInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DesiredInstance")
            .field("uid", &self.uid)
            .field("generation", &self.generation)
            .field("epoch", &self.epoch)
            .field("present", &self.present)
            .field("hardware", &self.hardware)
            .field("hostname", &self.hostname)
            .field("power", &self.power)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl State {
    /// What the host of `object` has to do for it; none for what no host has to do with.
    pub fn desired(&self, object: &Object) -> Option<DesiredObject> {
        let Placement { epoch, .. } = object.placement()?.clone();
        match (&object.spec, &object.detail) {
            (Spec::BlockStorage(_), Detail::Volume(volume)) if volume.gone && !object.is_deleting() => None,
            (Spec::BlockStorage(spec), Detail::Volume(volume)) => {
                Some(DesiredObject::Volume(DesiredVolume {
                    uid: object.uid,
                    generation: volume.host_generation,
                    epoch,
                    present: !object.is_deleting() || self.is_needed(object),
                    size_bytes: u64::from(spec.size_gb) << 30,
                    content: volume.content.clone(),
                    capture: volume.capture.as_ref().map(|capture| capture.image),
                    request_id: volume.request_id,
                }))
            }
            (Spec::Instance(spec), Detail::Instance(instance)) => {
                Some(DesiredObject::Instance(Box::new(DesiredInstance {
                    uid: object.uid,
                    generation: instance.host_generation,
                    epoch,
                    present: !object.is_deleting() || planted("never-told-to-go"),
                    hardware: instance.hardware.clone()?,
                    hostname: object.urn.name.clone(),
                    ssh_keys: spec.ssh_keys.clone().unwrap_or_default(),
                    user_data: spec.user_data.clone().unwrap_or_default(),
                    power: instance.power.clone(),
                    request_id: instance.request_id,
                })))
            }
            _ => None,
        }
    }

    /// The volume that is being copied to an image of this incarnation.
    pub(crate) fn copied_to(&self, uid: Uuid, image: &ImageDetail) -> Option<(&Object, &Capture)> {
        let volume = self.by_uid(image.source?)?;
        let Detail::Volume(detail) = &volume.detail else { return None };
        let capture = detail.capture.as_ref().filter(|capture| capture.image == uid)?;
        Some((volume, capture))
    }

    /// A deleted volume stays until the instance that uses it, going as well, has gone, and until it is copied.
    pub(crate) fn is_needed(&self, volume: &Object) -> bool {
        let copied = matches!(&volume.detail, Detail::Volume(volume) if volume.capture.is_some());
        copied || self.referrers(&volume.urn).next().is_some()
    }
}

#[cfg(test)]
mod tests;
