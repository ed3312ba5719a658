//! Which certificates pass a handshake.
//!
//! - [`Callers`] (a server's view): any certificate of our CA, or none at all. Its time is not judged here: an expired
//!   host may still ask for a new certificate, and [`admitted`](crate::peer) keeps it from everything else.
//! - [`Controllers`] (a client's): a controller of our CA, in force, and the one that was meant if one was.
//! - [`Pinned`] (a joiner's): a controller of the CA whose digest the token names.
//!
//! What never happens: a chain is believed whose end is not the CA; a host's certificate passes for a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use crate::certificate::sha256_hex;
use crate::pool::Expect;
use crate::{Certificate, Identity, IdentityError};

#[derive(Debug)]
pub(crate) struct Callers(Arc<dyn ClientCertVerifier>);

impl Callers {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Callers, IdentityError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        Ok(Callers(verifier))
    }
}

impl ClientCertVerifier for Callers {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Certificate::read(certificate).map_err(|error| Error::General(error.to_string()))?;
        let at = Certificate::nearest_valid_time(certificate).ok_or(CertificateError::BadEncoding)?;
        self.0.verify_client_cert(certificate, intermediates, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Chain, time and name of a controller.
fn controller(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    provider: &CryptoProvider,
    expect: Expect,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
    let shown = Certificate::read(certificate).map_err(|error| Error::General(error.to_string()))?;
    match (&shown.identity, expect) {
        (Identity::Controller(_), Expect::AnyController) => Ok(ServerCertVerified::assertion()),
        (Identity::Controller(id), Expect::Controller(meant)) if *id == meant => {
            Ok(ServerCertVerified::assertion())
        }
        (other, Expect::Controller(meant)) => {
            Err(Error::General(format!("{other} answered where controller:{meant} was meant")))
        }
        (other, Expect::AnyController) => {
            Err(Error::General(format!("{other} answered where a controller was meant")))
        }
    }
}

macro_rules! signatures_as_usual {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

#[derive(Debug)]
pub(crate) struct Controllers {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    expect: Expect,
}

impl Controllers {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        expect: Expect,
    ) -> Controllers {
        Controllers { roots, provider, expect }
    }
}

impl ServerCertVerifier for Controllers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        controller(certificate, intermediates, &self.roots, &self.provider, self.expect, now)
    }

    signatures_as_usual!();
}

#[derive(Debug)]
pub(crate) struct Pinned {
    ca_sha256: String,
    provider: Arc<CryptoProvider>,
    /// Somebody without that CA answered.
    met_stranger: Arc<AtomicBool>,
}

impl Pinned {
    pub(crate) fn new(
        ca_sha256: String,
        provider: Arc<CryptoProvider>,
        met_stranger: Arc<AtomicBool>,
    ) -> Pinned {
        Pinned { ca_sha256, provider, met_stranger }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|shown| sha256_hex(shown) == self.ca_sha256);
        let Some(pinned) = pinned else {
            self.met_stranger.store(true, Ordering::Release);
            let why = "the controller is not of the cluster that made the join token (its CA has another digest); \
                       is the address right, and the token of this cluster?";
            return Err(Error::General(why.to_owned()));
        };
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        controller(certificate, &[], &roots, &self.provider, Expect::AnyController, now)
    }

    signatures_as_usual!();
}
