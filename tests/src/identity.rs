//! Keys and certificates of the lab's machines: those of a thief who has read a machine's disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rempart_identity::certificate::from_pem;
use rempart_identity::pool::Behaviour;
use rempart_identity::{Certificate, Credentials, Expect, Key, Lane, Pool};
use tonic::transport::Channel;

/// What the controller of this directory shows its peers.
///
/// # Errors
/// When it has not been made.
pub fn controller_credentials(cluster_dir: &Path) -> anyhow::Result<Credentials> {
    let text = |name| fs::read_to_string(cluster_dir.join(name)).context("a certificate");
    let certificate = Certificate::read(&from_pem(&text("controller.crt")?)?)?;
    let key = Key::from_pkcs8(&fs::read(cluster_dir.join("controller.key"))?)?;
    Ok(Credentials::new(from_pem(&text("ca.crt")?)?, certificate, &key)?)
}

/// What the agent of this data directory shows controllers.
///
/// # Errors
/// When it has not joined.
pub fn agent_credentials(data_dir: &Path) -> anyhow::Result<Credentials> {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(data_dir.join("identity").join("identity.json"))?)?;
    let text = |name: &str| json[name].as_str().with_context(|| name.to_owned());
    let key: Vec<u8> = serde_json::from_value(json["key"].clone())?;
    let certificate = Certificate::read(&from_pem(text("certificate")?)?)?;
    Ok(Credentials::new(from_pem(text("ca")?)?, certificate, &Key::from_pkcs8(&key)?)?)
}

/// A connection to a controller with these credentials, made by the first call.
///
/// # Errors
/// When the address is none.
pub fn connection(credentials: &Credentials, expect: Expect, address: &str) -> anyhow::Result<Channel> {
    let second = Duration::from_secs(1);
    let behaviour = Behaviour {
        connect_timeout: second,
        keepalive_interval: second,
        keepalive_timeout: 2 * second,
        keepalive_while_idle: true,
        window_bytes: None,
    };
    Ok(Pool::new(credentials.clone(), behaviour).lazy(expect, address, Lane::Calls)?)
}
