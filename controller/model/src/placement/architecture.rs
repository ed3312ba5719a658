//! Which CPU architecture an instance is for: by its image, and by its size.

use rempart_api::compute::InstanceSpec;
use rempart_api::storage::CpuArchitecture;
use rempart_api::{Kind, Urn};

use crate::command::PutCommand;
use crate::kinds::Spec;
use crate::object::Object;
use crate::refusal::{Fault, Refusal};
use crate::state::State;

/// Guests' machine type is one of x86-64 (`apply/place.rs`), so that is what every host has to be.
pub(super) fn is_foreign(state: &State, instance: &Object) -> bool {
    let Spec::Instance(spec) = &instance.spec else { return false };
    boots_for(state, spec, &instance.urn).is_some_and(|architecture| architecture != CpuArchitecture::Amd64)
}

/// What the image that an instance boots is for; none if there is no image, or none any more.
fn boots_for(state: &State, instance: &InstanceSpec, urn: &Urn) -> Option<CpuArchitecture> {
    let volume = state.resolve(&instance.boot_volume.device_ref, Kind::BlockStorage, urn).ok()?;
    let Spec::BlockStorage(spec) = &state.get(&volume)?.spec else { return None };
    let image = state.resolve(spec.source_image_ref.as_ref()?, Kind::Image, &volume).ok()?;
    match &state.get(&image)?.spec {
        Spec::Image(image) => Some(image.cpu_architecture),
        _ => None,
    }
}

/// What an instance's size is for, if a label of it says so: SECA has no field for that.
fn sized_for(state: &State, instance: &InstanceSpec, urn: &Urn) -> Option<CpuArchitecture> {
    let size = state.resolve(&instance.sku_ref, Kind::InstanceSku, urn).ok()?;
    let labels = &state.get(&size)?.labels;
    let said = labels.get("Architecture").or_else(|| labels.get("architecture"))?;
    CpuArchitecture::ALL.into_iter().find(|known| said.eq_ignore_ascii_case(known.name()))
}

/// Refuses a new instance whose size and image are both known to be for a CPU architecture, and not for the same.
///
/// For who admits a PUT, and no part of its meaning: what is in the log was accepted without it, and an image may say
/// something else by the time an entry is applied. That nothing foreign ever starts is placement's to see to.
///
/// # Errors
/// The refusal.
pub fn check_architecture(state: &State, put: &PutCommand) -> Result<(), Refusal> {
    let Spec::Instance(new) = &put.spec else { return Ok(()) };
    if let Some(Spec::Instance(old)) = state.get(&put.urn).map(|old| &old.spec)
        && old.boot_volume == new.boot_volume
    {
        return Ok(());
    }
    match (boots_for(state, new, &put.urn), sized_for(state, new, &put.urn)) {
        (Some(image), Some(size)) if image != size => {
            let why = format!(
                "its image is for {}, and {} is a size of {} machines; use another size or another image",
                image.name(),
                new.sku_ref.resource,
                size.name()
            );
            Err(Refusal::invalid(vec![Fault::new("/spec/bootVolume/deviceRef", why)]))
        }
        _ => Ok(()),
    }
}
