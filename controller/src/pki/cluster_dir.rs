//! The directory with what makes a machine a controller of its cluster.
//!
//! ```text
//!   cluster.json     identity, region, zones                              the same on all controllers
//!   ca.crt           the CA's certificate; its digest is in join tokens
//!   ca.key           sealed under the root key
//!   issuer.key       signs API tokens; sealed under the root key
//!   root.key         in clear, 0600: copied by `join` alone, never part of a backup
//!   controller.crt   this controller's certificate                        its own
//!   controller.key   in clear, 0600
//! ```
//!
//! What always holds: a file that others may read is refused; nothing is written over by `init` or `join`;
//! `cluster.json` comes last, so a directory with it is complete.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rempart_identity::certificate::{from_pem, sha256_hex, to_pem};
use rempart_identity::file::{read_secret, write_public, write_secret};
use rempart_identity::{Ca, Certificate, Credentials, Identity, IdentityError, Key};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::recover::SealedKeys;
use super::seal::{Closed, ROOT_BYTES, Sealer};
use crate::auth::{Authority, AuthorityError};

const CLUSTER: &str = "cluster.json";
const CA_CERTIFICATE: &str = "ca.crt";
pub(super) const CA_KEY: &str = "ca.key";
pub(super) const ISSUER_KEY: &str = "issuer.key";
pub(super) const ROOT_KEY: &str = "root.key";
const CERTIFICATE: &str = "controller.crt";
const KEY: &str = "controller.key";

/// `cluster.json`: what `init` decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Identity of the cluster.
    pub cluster_id: Uuid,
    /// Name of its region.
    pub region: String,
    /// Zones of the region.
    pub zones: Vec<String>,
}

/// Why the directory is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// There is something already.
    #[error("{path} exists: {what}; choose another --dir", path = path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
        /// What that means.
        what: &'static str,
    },
    /// Not made by `init` or `join`, or by a version before there was a CA.
    #[error(
        "{path} is missing: this directory holds no controller's identity; make a new cluster with \
         `rempart-controller init`, or join one with `rempart-controller join` (what `init` wrote before there were \
         certificates cannot be used any more)", path = path.display()
    )]
    Missing {
        /// What is not there.
        path: PathBuf,
    },
    /// Its content.
    #[error("{path}: {why}", path = path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Keys and certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Sealed under another root key.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The issuer's key.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Signing a token.
    #[error("signing a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
}

/// What a controller needs to be one. All of it is secret but `cluster` and `ca_certificate`.
#[derive(Serialize, Deserialize)]
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    /// PEM.
    pub(super) ca_certificate: String,
    /// Sealed, base64.
    pub(super) ca_key: String,
    /// Sealed, base64.
    pub(super) issuer_key: String,
    /// Base64.
    pub(super) root_key: String,
}

/// A controller's keys, opened.
pub struct Keys {
    /// Which cluster.
    pub cluster: Cluster,
    /// Which replica this directory belongs to.
    pub replica_id: u64,
    /// Signs machines' certificates.
    pub ca: Ca,
    /// Signs and verifies tokens.
    pub issuer: Arc<Authority>,
    /// Seals secrets.
    pub sealer: Arc<Sealer>,
    /// This controller's own certificate, fresh.
    pub credentials: Credentials,
    /// How long certificates hold.
    pub lifetime: Duration,
    own: Key,
}

/// The directory; see the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterDir(PathBuf);

impl ClusterDir {
    /// Names it.
    pub fn new(path: impl Into<PathBuf>) -> ClusterDir {
        ClusterDir(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a new cluster, whose first controller is `replica_id`.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn init(&self, cluster: &Cluster, replica_id: u64, lifetime: Duration) -> Result<(), PkiError> {
        self.check_empty()?;
        let mut root = [0; ROOT_BYTES];
        aws_lc_rs::rand::fill(&mut root).map_err(|_| IdentityError::NoRandomness)?;
        let sealer = Sealer::new(&root).map_err(|why| self.bad(ROOT_KEY, why))?;
        let ca = Ca::create(&cluster.cluster_id.to_string())?;
        let seal = |name, content: &[u8]| STANDARD.encode(sealer.seal_file(name, content));
        let shared = Shared {
            cluster: cluster.clone(),
            ca_certificate: to_pem(ca.certificate()),
            ca_key: seal(CA_KEY, &ca.key().to_pkcs8()),
            issuer_key: seal(ISSUER_KEY, &Authority::generate()?),
            root_key: STANDARD.encode(root),
        };
        let key = Key::generate()?;
        let certificate = ca.sign_own(&Identity::Controller(replica_id), &key, lifetime)?;
        self.write(&shared, &key, &certificate)
    }

    /// Whether nothing of a cluster is here, and the directory can be made.
    ///
    /// # Errors
    /// What is here.
    pub fn check_empty(&self) -> Result<(), PkiError> {
        let mut here = [CLUSTER, CA_CERTIFICATE, CA_KEY, ISSUER_KEY, ROOT_KEY, CERTIFICATE, KEY]
            .into_iter()
            .map(|name| self.file(name))
            .filter(|path| path.exists());
        match here.next() {
            None => Ok(()),
            Some(path) if path == self.file(CLUSTER) => {
                Err(PkiError::Exists { path, what: "this controller belongs to a cluster already" })
            }
            Some(path) => {
                let what =
                    "an earlier attempt was cut off, or other keys are kept here; look, and remove them";
                Err(PkiError::Exists { path, what })
            }
        }
    }

    /// Writes all of it. `cluster.json` comes last.
    pub(super) fn write(
        &self,
        shared: &Shared,
        key: &Key,
        certificate: &Certificate,
    ) -> Result<(), PkiError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let decoded = |name: &str, text: &str| {
            STANDARD.decode(text).map_err(|error| self.bad(name, format!("not base64: {error}")))
        };
        write_secret(&self.file(ROOT_KEY), format!("{}\n", shared.root_key).as_bytes())?;
        write_secret(&self.file(CA_KEY), &decoded(CA_KEY, &shared.ca_key)?)?;
        write_secret(&self.file(ISSUER_KEY), &decoded(ISSUER_KEY, &shared.issuer_key)?)?;
        write_public(&self.file(CA_CERTIFICATE), shared.ca_certificate.as_bytes())?;
        write_secret(&self.file(KEY), &key.to_pkcs8())?;
        write_public(&self.file(CERTIFICATE), to_pem(&certificate.der).as_bytes())?;
        let mut json = serde_json::to_vec_pretty(&shared.cluster)
            .map_err(|error| self.bad(CLUSTER, error.to_string()))?;
        json.push(b'\n');
        Ok(write_public(&self.file(CLUSTER), &json)?)
    }

    /// What signs tokens.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn issuer(&self) -> Result<Authority, PkiError> {
        let sealed = self.secret(ISSUER_KEY)?;
        Ok(Authority::from_pkcs8(&self.sealer()?.open_file(ISSUER_KEY, &sealed)?)?)
    }

    /// What join tokens pin.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn ca_sha256(&self) -> Result<String, PkiError> {
        Ok(sha256_hex(&from_pem(&self.read(CA_CERTIFICATE)?)?))
    }

    fn sealer(&self) -> Result<Sealer, PkiError> {
        Sealer::new(&self.root()?).map_err(|why| self.bad(ROOT_KEY, why))
    }

    /// What another controller has to be given.
    pub(super) fn shared(&self) -> Result<Shared, PkiError> {
        let read = |name| Ok::<_, PkiError>(STANDARD.encode(self.secret(name)?));
        Ok(Shared {
            cluster: self.cluster()?,
            ca_certificate: fs::read_to_string(self.file(CA_CERTIFICATE))?,
            ca_key: read(CA_KEY)?,
            issuer_key: read(ISSUER_KEY)?,
            root_key: STANDARD.encode(self.root()?),
        })
    }

    /// The cluster's keys, as they lie here: of no use without the root key, which is not among them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn sealed(&self) -> Result<SealedKeys, PkiError> {
        let Shared { ca_certificate, ca_key, issuer_key, .. } = self.shared()?;
        Ok(SealedKeys { ca_certificate, ca_key, issuer_key })
    }

    fn cluster(&self) -> Result<Cluster, PkiError> {
        let text = self.read(CLUSTER)?;
        serde_json::from_str(&text)
            .map_err(|error| self.bad(CLUSTER, format!("not what `init` or `join` wrote: {error}")))
    }

    fn root(&self) -> Result<Vec<u8>, PkiError> {
        let text = self.secret(ROOT_KEY)?;
        STANDARD.decode(text.trim_ascii()).map_err(|_| self.bad(ROOT_KEY, "it is not base64".to_owned()))
    }

    fn read(&self, name: &str) -> Result<String, PkiError> {
        let path = self.file(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(PkiError::Missing { path }),
            Err(error) => Err(self.bad(name, error.to_string())),
        }
    }

    fn secret(&self, name: &str) -> Result<Vec<u8>, PkiError> {
        let path = self.file(name);
        match read_secret(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(PkiError::Missing { path }),
            other => Ok(other?),
        }
    }

    fn bad(&self, name: &str, why: String) -> PkiError {
        PkiError::Content { path: self.file(name), why }
    }

    /// Opens all keys, and signs this controller a fresh certificate: its last one may have expired long ago.
    ///
    /// # Errors
    /// When something is missing, readable by others, or does not belong together.
    pub fn open(&self, lifetime: Duration) -> Result<Keys, PkiError> {
        let cluster = self.cluster()?;
        let sealer = self.sealer()?;
        let sealed = |name| Ok::<_, PkiError>(sealer.open_file(name, &self.secret(name)?)?);
        let ca_key = Key::from_pkcs8(&sealed(CA_KEY)?)?;
        let ca = Ca::open(from_pem(&self.read(CA_CERTIFICATE)?)?, ca_key)?;
        let issuer = Authority::from_pkcs8(&sealed(ISSUER_KEY)?)?;
        let last = Certificate::read(&from_pem(&self.read(CERTIFICATE)?)?)?;
        let Identity::Controller(replica_id) = last.identity else {
            return Err(
                self.bad(CERTIFICATE, format!("it is that of {}, not of a controller", last.identity))
            );
        };
        let own = Key::from_pkcs8(&self.secret(KEY)?)?;
        let certificate = ca.sign_own(&last.identity, &own, lifetime)?;
        write_public(&self.file(CERTIFICATE), to_pem(&certificate.der).as_bytes())?;
        let credentials = Credentials::new(ca.certificate().clone(), certificate, &own)?;
        let (issuer, sealer) = (Arc::new(issuer), Arc::new(sealer));
        Ok(Keys { cluster, replica_id, ca, issuer, sealer, credentials, lifetime, own })
    }

    /// Signs this controller its next certificate.
    pub(super) fn renew(&self, keys: &Keys) -> Result<(), PkiError> {
        let certificate =
            keys.ca.sign_own(&Identity::Controller(keys.replica_id), &keys.own, keys.lifetime)?;
        write_public(&self.file(CERTIFICATE), to_pem(&certificate.der).as_bytes())?;
        Ok(keys.credentials.renew(certificate, &keys.own)?)
    }
}

#[cfg(test)]
mod tests;
