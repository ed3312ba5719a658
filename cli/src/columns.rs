//! Which columns a kind has in a table.
//!
//! Fields are looked up by their JSON names, not through the types: a server that is older or newer than this program
//! shows a dash, and nothing fails.

use rempart_api::{Kind, ResourceView, Timestamp};
use serde_json::Value;

use crate::quantity::{age, mebibytes};
use crate::screen::Tone;
use crate::table::Cell;

/// Headings of a kind's table.
pub(crate) fn headings(kind: Kind) -> Vec<&'static str> {
    columns(kind).iter().map(|(heading, _)| *heading).collect()
}

/// A resource as a row of its kind's table.
pub(crate) fn row(kind: Kind, view: &ResourceView, now_ms: i64) -> Vec<Cell> {
    columns(kind).iter().map(|(_, field)| field(&Row { view, now_ms })).collect()
}

/// A resource, and when it is looked at.
struct Row<'a> {
    view: &'a ResourceView,
    now_ms: i64,
}

type Column = (&'static str, fn(&Row<'_>) -> Cell);

impl Row<'_> {
    fn spec(&self, pointer: &str) -> &Value {
        self.view.spec.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn status(&self, pointer: &str) -> &Value {
        self.view.status.as_ref().and_then(|status| status.pointer(pointer)).unwrap_or(&Value::Null)
    }

    fn age(&self, at: Option<Timestamp>) -> Cell {
        at.map_or_else(String::new, |at| age(at, self.now_ms)).into()
    }
}

/// A value as a word; lists with commas between.
fn word(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The name at the end of a reference.
fn target(reference: &Value) -> Cell {
    let text = word(reference.get("resource").unwrap_or(reference));
    text.rsplit('/').next().unwrap_or_default().into()
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

fn with_unit(value: &Value, unit: &str) -> Cell {
    number(value).map_or_else(String::new, |number| format!("{number} {unit}")).into()
}

fn state_cell(state: String) -> Cell {
    let tone = match state.as_str() {
        "active" | "ready" | "on" => Tone::Good,
        "error" | "unreachable" | "no-hypervisor" | "revoked" => Tone::Bad,
        "off" | "" => Tone::Plain,
        _ => Tone::Busy,
    };
    Cell { tone, ..state.into() }
}

const NAME: Column = ("NAME", |row| row.view.metadata.name.as_str().into());
const STATE: Column = ("STATE", |row| state_cell(word(row.status("/state"))));
const ZONE: Column = ("ZONE", |row| word(row.spec("/zone")).into());
const SKU: Column = ("SKU", |row| target(row.spec("/skuRef")));
const AGE: Column = ("AGE", |row| row.age(row.view.metadata.created_at));
const CIDR: Column = ("CIDR", |row| {
    let [v4, v6] = ["/cidr/ipv4", "/cidr/ipv6"].map(|block| word(row.status(block)));
    [v4, v6].into_iter().filter(|block| !block.is_empty()).collect::<Vec<_>>().join(",").into()
});

/// What is given out of what may be; of what there is where the operator's limit is not known.
fn given_out(row: &Row<'_>, resource: &str, show: fn(u64) -> String) -> Cell {
    let [taken, offered, there] = ["/allocated/", "/allocatable/", "/host/"]
        .map(|place| row.status(&format!("{place}{resource}")).as_u64());
    match (taken, offered.filter(|offered| *offered > 0).or(there)) {
        (Some(taken), Some(total)) => format!("{} of {}", show(taken), show(total)).into(),
        (None, Some(total)) => show(total).into(),
        _ => "".into(),
    }
}

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Instance => {
            &[NAME, STATE, ("POWER", |row| state_cell(word(row.status("/powerState")))), SKU, ZONE, AGE]
        }
        Kind::BlockStorage => &[
            NAME,
            STATE,
            ("SIZE", |row| with_unit(row.spec("/sizeGB"), "GB")),
            SKU,
            ("FROM", |row| target(row.spec("/sourceImageRef"))),
            ("ATTACHED-TO", |row| target(row.status("/attachedTo"))),
            AGE,
        ],
        Kind::Image => &[
            NAME,
            STATE,
            ("SIZE", |row| number(row.status("/sizeMB")).map_or_else(String::new, mebibytes).into()),
            ("ARCH", |row| word(row.spec("/cpuArchitecture")).into()),
            // What is not said is the contract's default.
            ("BOOT", |row| {
                Some(word(row.spec("/boot")))
                    .filter(|boot| !boot.is_empty())
                    .map_or("UEFI".into(), Cell::from)
            }),
            ("INITIALIZER", |row| word(row.spec("/initializer")).into()),
            ("FROM", |row| target(row.spec("/blockStorageRef"))),
            AGE,
        ],
        Kind::InstanceSku => &[
            NAME,
            ("VCPUS", |row| word(row.spec("/vCPU")).into()),
            ("MEMORY", |row| with_unit(row.spec("/ram"), "GB")),
        ],
        Kind::StorageSku => &[
            NAME,
            ("TYPE", |row| word(row.spec("/type")).into()),
            ("IOPS", |row| word(row.spec("/iops")).into()),
            ("FROM-SIZE", |row| with_unit(row.spec("/minVolumeSize"), "GB")),
        ],
        Kind::NetworkSku => &[
            NAME,
            ("MBIT/S", |row| word(row.spec("/bandwidth")).into()),
            ("PACKETS/S", |row| word(row.spec("/packets")).into()),
        ],
        Kind::Network => &[NAME, STATE, CIDR, SKU, AGE],
        Kind::Subnet => {
            &[NAME, STATE, CIDR, ZONE, ("ROUTE-TABLE", |row| target(row.spec("/routeTableRef"))), AGE]
        }
        Kind::RouteTable => &[
            NAME,
            STATE,
            ("ROUTES", |row| row.spec("/routes").as_array().map_or(0, Vec::len).to_string().into()),
            AGE,
        ],
        Kind::InternetGateway => &[
            NAME,
            STATE,
            ("EGRESS-ONLY", |row| {
                if row.spec("/egressOnly") == &Value::Bool(true) { "yes" } else { "no" }.into()
            }),
            AGE,
        ],
        Kind::Workspace => {
            &[NAME, STATE, ("RESOURCES", |row| word(row.status("/resourceCount")).into()), AGE]
        }
        Kind::Tenant => &[NAME, STATE, ("OWNERS", |row| word(row.spec("/owners")).into()), AGE],
        Kind::Region => &[
            NAME,
            ("ZONES", |row| word(row.spec("/availableZones")).into()),
            ("PROVIDERS", |row| row.spec("/providers").as_array().map_or(0, Vec::len).to_string().into()),
        ],
        Kind::Host => &[
            NAME,
            ZONE,
            ("STATE", |row| state_cell(word(row.status("/hostState")))),
            ("INSTANCES", |row| word(row.status("/instances")).into()),
            ("VCPUS", |row| given_out(row, "vcpus", |number| number.to_string())),
            ("MEMORY", |row| given_out(row, "memoryMiB", mebibytes)),
            ("DISK", |row| given_out(row, "diskMiB", mebibytes)),
            ("RUNS-ON", |row| word(row.status("/host/virtualization/acceleration")).into()),
            ("HYPERVISOR", |row| word(row.status("/host/virtualization/hypervisorVersion")).into()),
            ("AGENT", |row| word(row.status("/host/agentVersion")).into()),
            ("SEEN", |row| {
                let seen = [row.status("/reportedAt"), row.status("/since")]
                    .into_iter()
                    .find_map(|at| serde_json::from_value(at.clone()).ok());
                row.age(seen)
            }),
        ],
        _ => &[NAME, STATE, AGE],
    }
}

#[cfg(test)]
mod tests;
