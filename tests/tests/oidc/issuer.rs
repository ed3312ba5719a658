//! An OpenID Connect issuer on loopback, as far as a controller asks one: a discovery document and keys, which the test
//! changes while it runs. It signs what the test wants signed.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use ::aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use ::aws_lc_rs::rand::SystemRandom;
use ::aws_lc_rs::rsa;
use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rempart_identity::certificate::to_pem;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A key of an issuer.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) encoding: EncodingKey,
}

impl SigningKey {
    pub(crate) fn ec(kid: &str) -> SigningKey {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let encoding = EncodingKey::from_ec_der(key.expect("a key").as_ref());
        SigningKey { kid: kid.to_owned(), algorithm: Algorithm::ES256, encoding }
    }

    pub(crate) fn rsa(kid: &str) -> SigningKey {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        let wrapped: Pkcs8V1Der<'_> = key.as_der().expect("its bytes");
        // The key inside begins behind PKCS#8's header, which is always as long for this size.
        let encoding = EncodingKey::from_rsa_der(&wrapped.as_ref()[26..]);
        SigningKey { kid: kid.to_owned(), algorithm: Algorithm::RS256, encoding }
    }

    pub(crate) fn published(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm).expect("its public part");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    pub(crate) fn sign_as(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.encoding).expect("signed")
    }
}

/// What the issuer does when it is asked.
pub(crate) enum Answers {
    /// These keys.
    Keys(Vec<Value>),
    /// The connection closes, whatever is asked.
    Nothing,
    /// It sends elsewhere.
    Redirect(String),
    /// Keys are said to be there.
    KeysAt(String),
    /// The document is another issuer's.
    Impostor,
    /// More than anybody wants.
    Flood,
}

struct Shared {
    answers: Answers,
    asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
}

impl Issuer {
    pub(crate) async fn start(answers: Answers) -> Issuer {
        Issuer::listen("http", answers, None).await
    }

    /// Over TLS, and the certificate that its own is of, in PEM.
    pub(crate) async fn start_tls(answers: Answers) -> (Issuer, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key));
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a configuration")));
        (Issuer::listen("https", answers, Some(acceptor)).await, to_pem(&certificate))
    }

    async fn listen(scheme: &str, answers: Answers, acceptor: Option<TlsAcceptor>) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("its address"));
        let issuer = Issuer { url, shared: Arc::new(Mutex::new(Shared { answers, asked: Vec::new() })) };
        tokio::spawn(issuer.clone().serve(listener, acceptor));
        issuer
    }

    pub(crate) fn answer(&self, answers: Answers) {
        self.shared.lock().expect("not poisoned").answers = answers;
    }

    /// Paths that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.lock().expect("not poisoned").asked.clone()
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.asked().iter().filter(|path| *path == "/keys").count()
    }

    async fn serve(self, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
        while let Ok((stream, _)) = listener.accept().await {
            if matches!(self.shared.lock().expect("not poisoned").answers, Answers::Nothing) {
                continue;
            }
            let issuer = self.clone();
            let service = service_fn(move |request| {
                let issuer = issuer.clone();
                async move { Ok::<_, Infallible>(issuer.reply(&request)) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whether a client goes away in between is its business.
                let Some(acceptor) = acceptor else {
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                    return;
                };
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    }

    fn reply(&self, request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let mut shared = self.shared.lock().expect("not poisoned");
        let path = request.uri().path().to_owned();
        shared.asked.push(path.clone());
        let document = |issuer: &str, keys: &str| json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
        let own_keys = format!("{}/keys", self.url);
        let body = match (&shared.answers, path.as_str()) {
            (Answers::Redirect(to), _) => {
                let redirect = Response::builder().status(StatusCode::FOUND).header("location", to);
                return redirect.body(Full::default()).expect("an answer");
            }
            (Answers::Flood, _) => "{\"issuer\":\"".to_owned() + &"x".repeat(1 << 20),
            (Answers::Impostor, "/.well-known/openid-configuration") => {
                document("http://127.0.0.1:1", &own_keys)
            }
            (Answers::KeysAt(keys), "/.well-known/openid-configuration") => document(&self.url, keys),
            (_, "/.well-known/openid-configuration") => document(&self.url, &own_keys),
            (Answers::Keys(keys), "/keys") => json!({ "keys": keys }).to_string(),
            _ => {
                let missing = Response::builder().status(StatusCode::NOT_FOUND);
                return missing.body(Full::default()).expect("an answer");
            }
        };
        Response::new(Full::from(body))
    }

    /// What a good token says, changed by `changes`; null takes a claim away.
    pub(crate) fn claims(&self, subject: &str, changes: Value) -> Value {
        let now = unix_s();
        let mut claims =
            json!({ "iss": self.url, "aud": "rempart", "sub": subject, "iat": now, "exp": now + 3600 });
        for (claim, value) in changes.as_object().into_iter().flatten() {
            claims[claim] = value.clone();
        }
        let present = claims.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        Value::Object(present.map(|(claim, value)| (claim.clone(), value.clone())).collect())
    }
}

pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A part of a token.
pub(crate) fn encoded(part: &str) -> String {
    URL_SAFE_NO_PAD.encode(part)
}
