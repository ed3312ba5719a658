//! A controller with a certificate of its operator's own authority, and what a person who calls it is told.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rempart_identity::certificate::to_pem;
use rempart_tests::{Cluster, PATIENCE, until, write_secret};

use super::{Person, UNREACHABLE, USAGE, check_failure};

/// Writes an authority's certificate to `ca`, and one of it for 127.0.0.1 to `server.crt` and `server.key` beside it.
fn authority(name: &str, ca: &Path) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(ca, to_pem(params.self_signed(&key).expect("signed").der())).expect("written");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    fs::write(ca.with_file_name("server.crt"), to_pem(certificate.der())).expect("written");
    let key = STANDARD.encode(key.serialize_der());
    let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    write_secret(&ca.with_file_name("server.key"), &key).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_with_the_right_server_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let token = cluster.layout.token("alice").expect("a token");
    let alice = Person::at(&dir.path().join("alice"));
    authority("own", &alice.home.join("ca.crt"));
    let (plain, file) = (cluster.layout.url(1), |name: &str| alice.home.join(name).display().to_string());
    let secure = plain.replace("http:", "https:");
    cluster.kill(1);
    cluster.environment.push(("REMPART_HTTP_TLS_CERT", file("server.crt")));
    cluster.environment.push(("REMPART_HTTP_TLS_KEY", file("server.key")));
    cluster.start_controller(1).expect("it starts");

    let asks = |server: &str, ca: Option<&str>| {
        let mut env = vec![("REMPART_SERVER", server), ("REMPART_TOKEN", &token)];
        env.extend(ca.map(|ca| ("REMPART_CA_FILE", ca)));
        alice.with(&env, "", "list regions")
    };
    let ca = file("ca.crt");
    until("the controller to answer", PATIENCE, || asks(&secure, Some(&ca)).code == Some(0)).await;
    // In a context, from any directory.
    let line = format!("context add own --server {secure} --ca-file ca.crt -t acme --token-file -");
    let said = alice.pipes(&token, &line);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(alice.good("list regions").contains("local"));
    let said = alice.with(&[("REMPART_SERVER", &secure), ("REMPART_TOKEN", &token)], "", "list regions");
    let words = ["signed by an authority that this machine does not trust", "--ca-file"];
    check_failure(&said, UNREACHABLE, "by the system's authorities", &words);

    // Another authority's certificate, and no certificate at all.
    fs::create_dir(alice.home.join("other")).expect("a directory");
    authority("other", &alice.home.join("other/ca.crt"));
    check_failure(&asks(&secure, Some(&file("other/ca.crt"))), UNREACHABLE, "of another authority", &words);
    check_failure(&asks(&secure, Some(&file("server.key"))), USAGE, "a key", &["holds no PEM certificate"]);
    check_failure(&asks(&secure, Some("nowhere.crt")), USAGE, "no file", &["nowhere.crt"]);
    // The right authority, and another server than was meant.
    let named = secure.replace("127.0.0.1", "localhost");
    check_failure(&asks(&named, Some(&ca)), UNREACHABLE, "another name", &["is not good", "localhost"]);
    // Not the words that were meant for the other kind of listener.
    check_failure(&asks(&plain, None), UNREACHABLE, "plain", &["does not speak plain HTTP", "https://"]);
    for line in
        [&cluster.controllers[0].daemon.log(), &fs::read_to_string(alice.config()).expect("a context")]
    {
        assert!(!line.contains("PRIVATE KEY"));
    }
}
