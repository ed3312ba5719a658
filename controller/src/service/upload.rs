//! Before the bytes of an upload: whether they may come at all. What is refused here costs its sender nothing but the
//! question.
//!
//! Absent on purpose: the bytes. Whether a majority of replicas holds them is for the caller to know before he asks for
//! `Call::Fill`.

use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_api::{Kind, Urn};
use rempart_model::{Detail, Spec};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Call, Caller, PATIENCE, Request, Service, ServiceError};

/// A volume that bytes may be sent to.
#[derive(Debug, Clone)]
pub struct UploadTarget {
    /// Its size in bytes: of the disk, not of the file.
    pub size_bytes: u64,
    /// What it contains already. Then it is what was declared now: an upload repeated.
    pub content: Option<BlobSpec>,
}

impl Service {
    /// Whether `caller` may send bytes with this digest and format to a volume, judged on a State that holds everything
    /// acknowledged before.
    ///
    /// # Errors
    /// No right, no such volume, or it has content or a user: as `Call::Fill` would be refused.
    pub async fn upload_target(
        &self,
        id: Uuid,
        caller: &Caller,
        urn: &Urn,
        sha256: &str,
        format: BlobFormat,
    ) -> Result<UploadTarget, ServiceError> {
        self.catch_up(Instant::now() + PATIENCE).await?;
        let state = self.inner.replica.state();
        // The sizes show in the end; for now the smallest there are.
        let content = BlobSpec { sha256: sha256.to_owned(), format, size_bytes: 1, virtual_size_bytes: 1 };
        let call = Call::Fill { urn: urn.clone(), content, uploaded: true };
        let request = Request { id, trace: None, caller: caller.clone(), call, alias: None };
        self.authorise(&state, &request)?;
        debug_assert!(urn.kind == Kind::BlockStorage);
        if let Some(volume) = state.get(urn)
            && let (Spec::BlockStorage(spec), Detail::Volume(detail)) = (&volume.spec, &volume.detail)
        {
            let size_bytes = u64::from(spec.size_gb) << 30;
            let same = |content: &&BlobSpec| content.sha256 == sha256 && content.format == format;
            if let Some(content) = detail.content.as_ref().filter(same) {
                return Ok(UploadTarget { size_bytes, content: Some(content.clone()) });
            }
            self.admit(&request)?;
            return Ok(UploadTarget { size_bytes, content: None });
        }
        Err(ServiceError::not_found(urn))
    }
}
