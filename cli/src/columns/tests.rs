use serde_json::json;

use super::*;
use crate::screen::Screen;
use crate::table::render;

const NOW_MS: i64 = 1_795_464_912_045;

fn view(spec: Value, status: Value) -> ResourceView {
    let body = json!({
        "metadata": {
            "name": "x", "apiVersion": "v1", "kind": "k", "provider": "p", "resource": "r", "ref": "f", "verb": "GET",
            "createdAt": "2026-11-23T20:05:12.045Z",
        },
        "spec": spec,
        "status": status,
    });
    serde_json::from_value(body).unwrap()
}

fn table(kind: Kind, spec: Value, status: Value) -> String {
    render(&Screen::new(), &headings(kind), &[row(kind, &view(spec, status), NOW_MS)])
}

#[test]
fn an_instance() {
    assert_eq!(
        table(
            Kind::Instance,
            json!({ "skuRef": { "resource": "skus/d2xs" }, "zone": "a" }),
            json!({ "state": "active", "powerState": "on" })
        ),
        "NAME  STATE   POWER  SKU   ZONE  AGE\nx     active  on     d2xs  a     10m\n"
    );
}

#[test]
fn a_volume_and_an_image() {
    let attached = "seca.compute/v1/tenants/t/workspaces/w/instances/web-1";
    assert_eq!(
        table(
            Kind::BlockStorage,
            json!({ "sizeGB": 10, "skuRef": { "resource": "skus/le500" } }),
            json!({ "state": "creating", "attachedTo": { "resource": attached } })
        ),
        "NAME  STATE     SIZE   SKU    FROM  ATTACHED-TO  AGE\n\
         x     creating  10 GB  le500  -     web-1        10m\n"
    );
    assert_eq!(
        table(
            Kind::Image,
            json!({ "blockStorageRef": { "resource": "workspaces/w/block-storages/v" }, "cpuArchitecture": "amd64" }),
            json!({ "state": "active", "sizeMB": 1536 })
        ),
        "NAME  STATE   SIZE     ARCH   BOOT  INITIALIZER  FROM  AGE\n\
         x     active  1.5 GiB  amd64  UEFI  -            v     10m\n"
    );
}

#[test]
fn a_host() {
    let status = json!({
        "state": "active", "hostState": "ready", "reachable": true, "since": "2026-11-23T20:05:02.045Z",
        "reportedAt": "2026-11-23T20:15:02.045Z", "instances": 2,
        "allocatable": { "vcpus": 64, "memoryMiB": 24576 },
        "allocated": { "vcpus": 3, "memoryMiB": 2560, "diskMiB": 1024 },
        "host": {
            "vcpus": 16, "memoryMiB": 24576, "diskMiB": 102400, "agentVersion": "0.1.0",
            "virtualization": { "acceleration": "kvm", "hypervisorVersion": "QEMU 7.2.22" },
            "hypervisor": { "available": true },
        },
    });
    let text = table(Kind::Host, json!({ "zone": "a" }), status);
    let line: Vec<&str> =
        text.lines().nth(1).unwrap().split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
    let expected = [
        "x",
        "a",
        "ready",
        "2",
        "3 of 64",
        "2.5 GiB of 24 GiB",
        "1 GiB of 100 GiB",
        "kvm",
        "QEMU 7.2.22",
        "0.1.0",
        "10s",
    ];
    assert_eq!(line, expected);
}

#[test]
fn every_kind_has_as_many_fields_as_headings_and_survives_having_none() {
    for info in Kind::table() {
        let row = row(info.kind, &view(json!({}), Value::Null), NOW_MS);
        assert_eq!(row.len(), headings(info.kind).len());
        assert!(row.iter().all(|cell| !cell.text.is_empty()), "{:?}", info.kind);
    }
}
