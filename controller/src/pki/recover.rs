//! The cluster's keys out of a backup: opened with the root key, which is kept elsewhere.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rempart_identity::certificate::from_pem;
use rempart_identity::file::read_secret;
use rempart_identity::{Ca, Identity, Key};
use serde::{Deserialize, Serialize};

use super::cluster_dir::{CA_KEY, Cluster, ClusterDir, ISSUER_KEY, PkiError, Shared};
use super::seal::Sealer;
use crate::auth::Authority;

/// Keys as they lie in a controller's directory, sealed under the root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedKeys {
    /// PEM.
    pub ca_certificate: String,
    /// Sealed, base64.
    pub ca_key: String,
    /// Sealed, base64.
    pub issuer_key: String,
}

/// Keys that were opened, and belong together.
pub struct Recovered {
    ca: Ca,
    shared: Shared,
    /// With the cluster's root key.
    pub sealer: Sealer,
}

/// Opens the keys of `cluster` with the root key in a file.
///
/// # Errors
/// When the file is none that only its owner may read, or is another cluster's.
pub fn recover(cluster: Cluster, sealed: &SealedKeys, root_key: &Path) -> Result<Recovered, PkiError> {
    let bad = |why: String| PkiError::Content { path: root_key.to_owned(), why };
    let root_text = String::from_utf8(read_secret(root_key)?).map_err(|_| bad("it is no text".to_owned()))?;
    let root = STANDARD.decode(root_text.trim_ascii()).map_err(|_| bad("it is not base64".to_owned()))?;
    let sealer = Sealer::new(&root).map_err(bad)?;
    let open = |name: &str, text: &str| {
        let sealed = STANDARD.decode(text).unwrap_or_default();
        sealer.open_file(name, &sealed)
    };
    let ca_key = Key::from_pkcs8(&open(CA_KEY, &sealed.ca_key)?)?;
    let ca = Ca::open(from_pem(&sealed.ca_certificate)?, ca_key)?;
    Authority::from_pkcs8(&open(ISSUER_KEY, &sealed.issuer_key)?)?;
    let SealedKeys { ca_certificate, ca_key, issuer_key } = sealed.clone();
    let root_key = STANDARD.encode(root);
    Ok(Recovered { ca, shared: Shared { cluster, ca_certificate, ca_key, issuer_key, root_key }, sealer })
}

impl Recovered {
    /// Makes `dir` that of controller `replica_id`, whose certificate holds for `lifetime`.
    ///
    /// # Errors
    /// When something is there, or it cannot be written.
    pub fn write(&self, dir: &ClusterDir, replica_id: u64, lifetime: Duration) -> Result<(), PkiError> {
        dir.check_empty()?;
        let key = Key::generate()?;
        let certificate = self.ca.sign_own(&Identity::Controller(replica_id), &key, lifetime)?;
        dir.write(&self.shared, &key, &certificate)
    }
}
