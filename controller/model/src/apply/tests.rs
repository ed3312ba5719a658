//! The meaning of single commands.

mod addresses;
mod deletion;
mod fleet;
mod hosts;
mod lifecycle;
mod networks;
mod power;
mod references;
mod region;
mod replicas;
mod reports;
mod storage;
mod tokens;
mod upgrade;
mod window;

use rempart_api::fleet::{Acceleration, HostReport, HypervisorHealth};
use rempart_api::{Kind, Timestamp, Urn};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Envelope;
use crate::answer::{Answer, Outcome};
use crate::command::*;
use crate::desired::DesiredObject;
use crate::fixture::*;
use crate::object::Detail;
use crate::refusal::RefusalClass;
use crate::version::ClusterVersion;
