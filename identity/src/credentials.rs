//! What this machine shows, and whom it believes. Cheap to clone; all clones see a renewed certificate at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::sync::watch;

use crate::pool::Expect;
use crate::verify::{Callers, Controllers, Pinned};
use crate::{Certificate, Key};

/// Why a key, certificate, request or token is of no use.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate.
    #[error("certificate: {0}")]
    Certificate(String),
    /// A request for one.
    #[error("certificate request: {0}")]
    Request(String),
    /// Not the text of a join token.
    #[error("this is not a join token; copy the whole line that `rempart-controller token join` printed")]
    Token,
    /// The system's random number generator.
    #[error("the system has no randomness to give")]
    NoRandomness,
    /// Making keys or certificates.
    #[error("{0}")]
    Crypto(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// See the module.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    ca: CertificateDer<'static>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    current: watch::Sender<Current>,
}

#[derive(Clone)]
struct Current {
    generation: u64,
    certificate: Arc<Certificate>,
    tls: Arc<CertifiedKey>,
}

impl Credentials {
    /// A machine with `certificate` and its `key`, in the cluster of `ca`.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn new(
        ca: CertificateDer<'static>,
        certificate: Certificate,
        key: &Key,
    ) -> Result<Credentials, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = certified(&provider, &ca, &certificate, key)?;
        let current = Current { generation: 0, certificate: Arc::new(certificate), tls };
        let (current, _) = watch::channel(current);
        Ok(Credentials(Arc::new(Inner { ca, roots: Arc::new(roots), provider, current })))
    }

    /// Shows another certificate from now on. Connections that stand are not touched.
    ///
    /// # Errors
    /// When key and certificate do not belong together.
    pub fn renew(&self, certificate: Certificate, key: &Key) -> Result<(), IdentityError> {
        let tls = certified(&self.0.provider, &self.0.ca, &certificate, key)?;
        self.0.current.send_modify(|current| {
            let generation = current.generation + 1;
            *current = Current { generation, certificate: Arc::new(certificate), tls };
        });
        Ok(())
    }

    /// The certificate shown now.
    pub fn certificate(&self) -> Arc<Certificate> {
        self.0.current.borrow().certificate.clone()
    }

    /// The cluster's CA.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.0.ca
    }

    /// Counts renewals: what was made under another number shows another certificate.
    pub fn generation(&self) -> u64 {
        self.0.current.borrow().generation
    }

    /// Returns once the certificate shown is in force.
    pub async fn in_force(&self) {
        let mut current = self.0.current.subscribe();
        // Fails only when this goes, and it does not while it is borrowed.
        let _ = current.wait_for(|current| !current.certificate.is_expired()).await;
    }

    pub(crate) fn client(&self, expect: Expect) -> Result<rustls::ClientConfig, IdentityError> {
        let verifier = Controllers::new(self.0.roots.clone(), self.0.provider.clone(), expect);
        let shown = self.0.current.borrow().tls.clone();
        let mut config = rustls::ClientConfig::builder_with_provider(self.0.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    pub(crate) fn server(&self) -> Result<rustls::ServerConfig, IdentityError> {
        let verifier = Callers::new(self.0.roots.clone(), self.0.provider.clone())?;
        let mut config = rustls::ServerConfig::builder_with_provider(self.0.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(Newest(self.0.current.subscribe())));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Every connection shows its certificate: none is believed from an earlier one.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// How a machine that has nothing yet talks to controllers: it shows no certificate, and believes those that prove to
/// be of the CA with this digest.
pub(crate) fn joiner(
    ca_sha256: &str,
    met_stranger: Arc<AtomicBool>,
) -> Result<rustls::ClientConfig, IdentityError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Pinned::new(ca_sha256.to_owned(), provider.clone(), met_stranger);
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The CA's certificate goes along: a joiner knows nothing but its digest.
fn certified(
    provider: &CryptoProvider,
    ca: &CertificateDer<'static>,
    certificate: &Certificate,
    key: &Key,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    if certificate.key_sha256 != key.sha256() {
        let why = format!("the key beside the certificate of {} is not its key", certificate.identity);
        return Err(IdentityError::Certificate(why));
    }
    let private = provider.key_provider.load_private_key(key.for_tls())?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der.clone(), ca.clone()], private)))
}

/// Shows the newest certificate at each handshake.
#[derive(Debug)]
struct Newest(watch::Receiver<Current>);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.borrow().tls.clone())
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} ({})", self.certificate.identity, self.generation)
    }
}
