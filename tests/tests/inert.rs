//! Text that would be something else elsewhere (SQL, markup, marks that turn a line around) is kept as it was sent, wherever text
//! is kept at all: it comes back to the last character, also from Postgres, after every process has died.

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::{Map, Value, json};

/// Nothing of it is longer than a label may be.
const HOSTILE: [&str; 16] = [
    "'; DROP TABLE resource; --",
    "\" OR 1=1 /* $$ */ \\",
    "$1 %s {0} ${HOME} `id` $(id)",
    "nul \u{0} and \u{1} \u{7f}",
    "right to left \u{202e}gnp.exe \u{2066}x\u{2069}",
    "\u{200b}zero\u{feff}width\u{200d}",
    "аdmin (Cyrillic), ａｄｍｉｎ, admin",
    "e\u{301} and é",
    "</name><qemu:commandline>&amp;<![CDATA[",
    "line\r\nfeed: yes\n- !!python/object",
    "emoji \u{1f600}\u{1f468}\u{200d}\u{1f469}",
    "tab\tand  blanks ",
    " ",
    "null",
    "\\u0000 \\x00 \\",
    "\u{10ffff}\u{e000}\u{fffd}",
];

/// How they are kept: whose, where in it, and what.
fn bodies() -> Vec<(Urn, Value)> {
    let all: Map<String, Value> = HOSTILE.iter().map(|text| ((*text).to_owned(), json!(text))).collect();
    let tenant = |kind, name: &str| Urn::tenant(kind, "acme", name);
    let here = |kind, name: &str| Urn::workspace(kind, "acme", "w", name);
    let long: String = HOSTILE.join("\n").chars().cycle().take(65_536).collect();
    let permission = json!({ "provider": "seca.compute", "resources": HOSTILE, "verb": ["get"] });
    let instance = |name: &str, user_data: &str| {
        let spec = json!({
            "skuRef": "skus/DXS", "zone": "a", "bootVolume": { "deviceRef": name }, "userData": user_data,
            "sshKeys": [format!("ssh-ed25519 AAAA {}", HOSTILE[0])],
        });
        (here(Kind::Instance, name), json!({ "spec": spec }))
    };
    let volume = |name: &str| {
        (here(Kind::BlockStorage, name), json!({ "spec": { "sizeGB": 1, "skuRef": "skus/LE500" } }))
    };
    vec![
        (
            tenant(Kind::Workspace, "w"),
            json!({ "labels": all, "annotations": all, "spec": { "kept": HOSTILE } }),
        ),
        (
            tenant(Kind::RoleAssignment, "subs"),
            json!({ "labels": all, "annotations": all,
                "spec": { "roles": ["seca.workspace-viewer"], "subs": subjects(), "scopes": [{ "workspaces": ["w"] }] } }),
        ),
        (tenant(Kind::Role, "resources"), json!({ "spec": { "permissions": [permission] } })),
        volume("short"),
        volume("long"),
        instance("short", HOSTILE[3]),
        instance("long", &long),
    ]
}

/// Those that can be one: what a token's subject may be, and nothing that stands for others.
fn subjects() -> Vec<&'static str> {
    let odd = |one: char| one == '*' || one.is_control();
    HOSTILE.into_iter().filter(|text| !text.contains(odd)).collect()
}

/// Whether what was sent is what is shown.
async fn check(client: &Client, when: &str) {
    for (urn, body) in bodies() {
        let view = json!(client.get(&urn).await.unwrap_or_else(|error| panic!("{urn} {when}: {error}")));
        let mut compared = 0;
        let mut same = |pointer: &str| {
            if let Some(sent) = body.pointer(pointer) {
                assert_eq!(view.pointer(pointer), Some(sent), "{urn} {when}: {pointer}");
                compared += 1;
            }
        };
        for pointer in [
            "/labels",
            "/annotations",
            "/spec/kept",
            "/spec/subs",
            "/spec/permissions",
            "/spec/userData",
            "/spec/sizeGB",
        ] {
            same(pointer);
        }
        assert!(compared > 0, "{urn}");
    }
}

#[tokio::test]
async fn hostile_text_comes_back_as_it_was_sent() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(1, "alice").expect("a client");
    let owners = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &owners).await.expect("a tenant");
    for (urn, body) in bodies() {
        alice.put(&urn, &body).await.unwrap_or_else(|error| panic!("{urn}: {error}"));
    }
    check(&alice, "when it was made").await;

    // As subjects they are who they say, to the last mark, and nobody who only looks like them.
    let robot = cluster.client(1, subjects()[0]).expect("a client");
    robot.get(&Urn::tenant(Kind::Workspace, "acme", "w")).await.expect("this one is named");
    for other in [format!("{} ", subjects()[0]), "admin".to_owned(), "é".to_owned()] {
        let stranger = cluster.client(1, &other).expect("a client");
        let refused = stranger.get(&Urn::tenant(Kind::Workspace, "acme", "w")).await;
        assert_eq!(refused.expect_err("that one is not").status(), Some(403), "{other:?}");
    }

    // As names they are none.
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let token = cluster.layout.token("alice").expect("a token");
    for text in HOSTILE {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = alice.url(&Urn::tenant(Kind::Workspace, "acme", &encoded));
        let answer =
            http.put(url).bearer_auth(token.trim()).json(&json!({})).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let made = text == "null";
        assert!(if made { status == 201 } else { [404, 412].contains(&status) }, "{text:?}: {status}");
    }

    // Selected by, and found.
    let found = alice.list_all(&Urn::tenant(Kind::Workspace, "acme", ""), Some("null=null")).await;
    assert_eq!(found.expect("a list").len(), 1);

    // What memory had is in Postgres, and comes from there.
    cluster.kill(1);
    cluster.start_controller(1).expect("it starts");
    cluster.ready(1).await.expect("it is ready");
    check(&alice, "after a restart").await;
}
