//! Images of volumes that have bytes on a host: the host copies them, a controller takes the copy in, and then the image
//! is complete.
//!
//! ```text
//!   PUT image ── volume: capture, image: creating ──> host copies ──> bytes to a controller, a majority ──> Capture ──> active
//! ```
//!
//! What always holds: a volume is copied to one image at a time, and stays with its host while it is, deleted or not; nothing but the volume's own
//! bytes becomes the image's content, so a host names a digest for no image it was not asked for. An instance may be
//! started meanwhile: its host does one after the other.

use rempart_api::Phase;
use uuid::Uuid;

use super::Tx;
use super::compare::check_there;
use crate::answer::{Answer, Outcome};
use crate::command::CaptureCommand;
use crate::explain::is_on;
use crate::kinds::Spec;
use crate::object::{Capture, Detail, Object};
use crate::refusal::Refusal;

impl Tx {
    /// Gives a new image the content of `source`, or asks the volume's host for it.
    pub(super) fn settle_new_image(&mut self, image: &mut Object, source: &Object) -> Result<(), Refusal> {
        let (Spec::BlockStorage(spec), Detail::Volume(beside)) = (&source.spec, &source.detail) else {
            return Ok(());
        };
        let Detail::Image(detail) = &mut image.detail else { return Ok(()) };
        detail.size_gb = spec.size_gb;
        if beside.placement.is_none() || beside.realised.generation == 0 {
            detail.content.clone_from(&beside.content);
            return Ok(());
        }
        check_there(&source.urn, beside)?;
        if let Some(capture) = &beside.capture {
            let other =
                self.state.by_uid(capture.image).map(|other| other.urn.to_string()).unwrap_or_default();
            return Err(Refusal::conflict(format!(
                "{} is being copied to {other}; try again when that image is active",
                source.urn
            )));
        }
        if let Some(user) = self.state.referrers(&source.urn).find(|user| is_on(user)) {
            return Err(Refusal::conflict(format!(
                "{} is used by {}, which is on; stop it first: an image is a copy of a disk that nobody writes to",
                source.urn, user.urn
            )));
        }
        detail.source = Some(source.uid);
        let mut volume = source.clone();
        if let Detail::Volume(beside) = &mut volume.detail {
            beside.capture = Some(Box::new(Capture { image: image.uid, failure: None }));
            beside.raise_generation(volume.resource_version);
        }
        self.write(volume);
        Ok(())
    }

    /// The copy of a volume is the content of its image from now on.
    pub(super) fn capture(&mut self, capture: &CaptureCommand) -> Outcome {
        let obsolete = || Refusal::conflict("this copy is not, or no longer, asked for");
        let volume = self.bound(capture.volume, &capture.host, capture.epoch).ok_or_else(obsolete)?;
        let asked = match &volume.detail {
            Detail::Volume(detail) => detail.capture.as_ref().map(|asked| asked.image),
            _ => None,
        };
        if asked != Some(capture.image) {
            return Err(obsolete());
        }
        let mut image =
            self.state.by_uid(capture.image).map(|image| (**image).clone()).ok_or_else(obsolete)?;
        let Detail::Image(detail) = &mut image.detail else { return Err(obsolete()) };
        detail.content = Some(capture.content.clone());
        detail.source = None;
        self.resume(&mut image);
        image.status.enter(Phase::Active, self.now);
        self.write(image);
        self.end_capture(capture.volume, capture.image);
        Ok(Answer::Done)
    }

    /// What `image` was to be a copy of has gone: it stays without content, and says so.
    pub(super) fn lose_copy(&mut self, image: Uuid) {
        let Some(mut image) = self.state.by_uid(image).map(|image| (**image).clone()) else { return };
        image.status.enter(Phase::Error, self.now);
        self.write(image);
    }

    /// Nobody waits for the copy any more.
    pub(super) fn end_capture(&mut self, volume: Uuid, image: Uuid) {
        let Some(mut volume) = self.state.by_uid(volume).map(|volume| (**volume).clone()) else { return };
        let version = volume.resource_version;
        let Detail::Volume(detail) = &mut volume.detail else { return };
        if detail.capture.take_if(|capture| capture.image == image).is_some() {
            // If it is being deleted, this is what its host was not told to remove it for.
            detail.raise_generation(version);
            self.write(volume);
        }
    }
}
