//! This host's identity on disk, and how it comes there.
//!
//! One file, replaced atomically, readable by its owner alone. The key a host joins with is written down before it is
//! shown to anybody: an agent that dies while it joins asks again with the same key, and is answered although its token
//! is used up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rempart_identity::certificate::{from_pem, sha256_hex, to_pem};
use rempart_identity::file::{read_secret, write_secret};
use rempart_identity::join::{JoinError, join};
use rempart_identity::{Certificate, Credentials, Identity, IdentityError, JoinToken, Key};
use serde::{Deserialize, Serialize};

/// How long a host tries to join while no controller answers. Its service manager starts it again after that.
const PATIENCE: Duration = Duration::from_secs(120);

/// A join token, as the operator gives it.
#[derive(Debug, Clone)]
pub enum Token {
    /// Its text.
    Text(String),
    /// A file with it. One that is gone is no mistake once the host has joined.
    File(PathBuf),
}

/// Why this host has no identity.
#[derive(Debug, thiserror::Error)]
pub enum EstablishError {
    /// Nothing to join with.
    #[error(
        "this host has not joined a cluster yet: run `rempart-controller token join --host {host}` on a controller, and \
         start the agent with --join-token-file once"
    )]
    NotJoined {
        /// Its name.
        host: String,
    },
    /// It is another host's.
    #[error("{what} is for {found}, and this host is called {host:?}: mint a token with --host {host}")]
    OtherName {
        /// Which file or answer.
        what: String,
        /// Whose it is.
        found: Identity,
        /// Who this should be.
        host: String,
    },
    /// The controllers.
    #[error("joining: {0}")]
    Join(#[from] JoinError),
    /// A file.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Its content.
    #[error("{path}: {why}; restore it, or remove it and join again with a new token", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Keys, certificates, and the token's text.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// `identity.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    /// PKCS#8.
    key: Vec<u8>,
    /// PEM.
    certificate: String,
    /// PEM.
    ca: String,
    /// Of the join token that was used last: another one is an operator's wish to join again.
    token_sha256: String,
}

/// This host's identity, open.
#[derive(Clone)]
pub struct HostIdentity {
    /// What it shows and whom it believes.
    pub credentials: Credentials,
    path: PathBuf,
    record: Arc<Record>,
    key: Arc<Key>,
}

/// Opens the identity in `dir`, and joins with `token` where there is none, or another token was given than that it
/// joined with.
///
/// # Errors
/// [`EstablishError`].
pub async fn establish(
    dir: &Path,
    host: &str,
    token: Option<&Token>,
) -> Result<HostIdentity, EstablishError> {
    let path = dir.join("identity.json");
    let known = read(&path)?;
    let text = match token {
        Some(Token::Text(text)) => Some(text.trim().to_owned()),
        Some(Token::File(file)) => match std::fs::read_to_string(file) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && known.is_some() => None,
            Err(error) => {
                let words = format!("join token {}: {error}", file.display());
                return Err(io::Error::new(error.kind(), words).into());
            }
        },
        None => None,
    };
    let record = match (known, text) {
        (Some(known), None) => known,
        (Some(known), Some(text)) if known.token_sha256 == sha256_hex(text.as_bytes()) => known,
        (_, Some(text)) => {
            let record = enrol(dir, host, &text).await?;
            write(&path, &record)?;
            // The key is in the record now.
            let _ = std::fs::remove_file(dir.join(JOINING_KEY));
            record
        }
        (None, None) => return Err(EstablishError::NotJoined { host: host.to_owned() }),
    };
    open(path, record, host)
}

const JOINING_KEY: &str = "joining.key";

async fn enrol(dir: &Path, host: &str, text: &str) -> Result<Record, EstablishError> {
    let token = JoinToken::parse(text)?;
    let key_path = dir.join(JOINING_KEY);
    let key = match read_secret(&key_path) {
        Ok(key) => Key::from_pkcs8(&key)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = Key::generate()?;
            write_secret(&key_path, &key.to_pkcs8())?;
            key
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!(controllers = ?token.controllers, "joining the cluster");
    let (_, joined) = join(&token, &key, Vec::new(), PATIENCE).await?;
    check_name("the join token", &joined.certificate, host)?;
    tracing::info!(host, "joined the cluster; the join token is not needed any more");
    Ok(Record {
        key: key.to_pkcs8(),
        certificate: to_pem(&joined.certificate.der),
        ca: to_pem(&joined.ca),
        token_sha256: sha256_hex(text.as_bytes()),
    })
}

fn check_name(what: &str, certificate: &Certificate, host: &str) -> Result<(), EstablishError> {
    if certificate.identity == Identity::Host(host.to_owned()) {
        return Ok(());
    }
    let found = certificate.identity.clone();
    Err(EstablishError::OtherName { what: what.to_owned(), found, host: host.to_owned() })
}

fn read(path: &Path) -> Result<Option<Record>, EstablishError> {
    match read_secret(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            // serde_json's words could show the key.
            Err(_) => {
                let why = "it is not what an agent wrote".to_owned();
                Err(EstablishError::Damaged { path: path.to_owned(), why })
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write(path: &Path, record: &Record) -> io::Result<()> {
    write_secret(path, &serde_json::to_vec(record)?)
}

fn open(path: PathBuf, record: Record, host: &str) -> Result<HostIdentity, EstablishError> {
    let damaged =
        |error: IdentityError| EstablishError::Damaged { path: path.clone(), why: error.to_string() };
    let certificate =
        from_pem(&record.certificate).and_then(|der| Certificate::read(&der)).map_err(damaged)?;
    check_name(&path.display().to_string(), &certificate, host)?;
    let key = Key::from_pkcs8(&record.key).map_err(damaged)?;
    let ca = from_pem(&record.ca).map_err(damaged)?;
    let credentials = Credentials::new(ca, certificate, &key).map_err(damaged)?;
    Ok(HostIdentity { credentials, path, record: Arc::new(record), key: Arc::new(key) })
}

impl HostIdentity {
    /// Takes its next certificate: on disk first, then in use. Blocks.
    ///
    /// # Errors
    /// When it is not for this host's key, or cannot be written.
    pub(super) fn renew(&self, certificate: Certificate) -> Result<(), EstablishError> {
        if certificate.identity != self.credentials.certificate().identity {
            let why = format!("a certificate for {} was answered", certificate.identity);
            return Err(IdentityError::Certificate(why).into());
        }
        let record = Record {
            key: self.record.key.clone(),
            certificate: to_pem(&certificate.der),
            ca: self.record.ca.clone(),
            token_sha256: self.record.token_sha256.clone(),
        };
        write(&self.path, &record)?;
        Ok(self.credentials.renew(certificate, &self.key)?)
    }
}
