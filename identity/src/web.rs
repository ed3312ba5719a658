//! TLS for callers who are people and their programs: with a certificate that an operator brought, and none asked of them.
//!
//! Nothing of the cluster's own CA is in here: it signs machines, and what a browser trusts is somebody else's business.
//! Absent on purpose: reading files anew. Who renews the certificate restarts the controllers, one after the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::file::read_secret;

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum WebTlsError {
    /// A file cannot be read, or others may read the key.
    #[error("{0}")]
    File(#[from] io::Error),
    /// A file holds something else.
    #[error("{path}: {why}", path = path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what should be there.
        why: String,
    },
    /// They do not belong together, or are of a kind that is not served.
    #[error("{certificate} with the key {key}: {why}", certificate = certificate.display(), key = key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
}

/// The server's side of TLS 1.3. Cheap to clone.
#[derive(Clone)]
pub struct WebTls(TlsAcceptor);

impl WebTls {
    /// With the certificate, followed by its chain, of one file, and the key of another; both in PEM.
    ///
    /// # Errors
    /// When they cannot be read, make no sense, or do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<WebTls, WebTlsError> {
        let content = |path: &Path, why: String| WebTlsError::Content { path: path.to_owned(), why };
        let pem = std::fs::read(certificate)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", certificate.display())))?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| content(certificate, format!("not PEM: {error}")))?;
        if chain.is_empty() {
            return Err(content(certificate, "holds no certificate in PEM".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_slice(&read_secret(key)?)
            .map_err(|error| content(key, format!("holds no private key in PEM: {error}")))?;
        let pair = |why| WebTlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), why };
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(WebTls(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake of a connection.
    ///
    /// # Errors
    /// When the caller speaks something else, or hangs up.
    pub async fn accept(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn check(certificate: &str, key: &str, mode: u32, words: &str) {
        let dir = tempfile::tempdir().unwrap();
        let (crt, pem) = (dir.path().join("api.crt"), dir.path().join("api.key"));
        fs::write(&crt, certificate).unwrap();
        fs::write(&pem, key).unwrap();
        fs::set_permissions(&pem, fs::Permissions::from_mode(mode)).unwrap();
        let said = WebTls::read(&crt, &pem).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{said}");
        assert!(!said.contains("BEGIN") && !said.contains("MII"), "{said}");
    }

    #[test]
    fn what_cannot_be_served_is_said_with_its_file() {
        let made = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let key = STANDARD.encode(made.signing_key.serialize_der());
            let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
            (crate::certificate::to_pem(made.cert.der()), key)
        };
        let ((crt, key), (_, other)) = (made("a"), made("b"));
        check(&crt, &key, 0o600, "");
        check(&crt, &key, 0o640, "others may read it");
        check(&crt, &other, 0o600, "api.crt with the key");
        check("", &key, 0o600, "api.crt: holds no certificate");
        check(&crt, &crt, 0o600, "api.key: holds no private key");
        assert!(WebTls::read(Path::new("/nowhere/a"), Path::new("/nowhere/b")).is_err());
    }
}
