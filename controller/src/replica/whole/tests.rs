//! A State goes into a snapshot and comes out the same.

use rempart_api::tenancy::TenantSpec;
use rempart_api::workspace::WorkspaceSpec;
use rempart_api::{Kind, Timestamp, Urn};
use rempart_model::{Command, Envelope, Founding, PutCommand, Spec};

use super::*;

/// A founded cluster with a workspace, and a refusal among its answers.
fn some_state() -> State {
    let mut state = State::default();
    let put = |urn: Urn, spec: Spec| {
        Command::Put(Box::new(PutCommand {
            uid: Uuid::from_u128(urn.name.bytes().map(u128::from).sum()),
            urn,
            if_unmodified_since: None,
            labels: [("a".to_owned(), "line\nfeed \u{2028}".to_owned())].into(),
            annotations: [].into(),
            extensions: [].into(),
            spec,
            host: None,
        }))
    };
    let founding = Founding {
        cluster_id: Uuid::from_u128(1),
        region: "local".to_owned(),
        zones: vec!["a".to_owned()],
        catalogue: Vec::new(),
    };
    let tenant = Spec::from(TenantSpec {
        owners: vec!["alice".to_owned()],
        suspended: false,
        quota: [].into(),
        subjects: None,
    });
    let workspace =
        |name: &str| put(Urn::tenant(Kind::Workspace, "acme", name), Spec::from(WorkspaceSpec::default()));
    let commands = [
        Command::Found(founding),
        put(Urn::global(Kind::Tenant, "acme"), tenant),
        workspace("w"),
        workspace("No Name"),
    ];
    for (index, command) in commands.into_iter().enumerate() {
        let envelope = Envelope {
            format: rempart_model::ENVELOPE_FORMAT,
            request_id: Uuid::from_u128(100 + index as u128),
            actor: "alice".to_owned(),
            trace: None,
            time: Timestamp::from_unix_ms(1_700_000_000_000),
            command,
        };
        state.apply(index as u64, &envelope);
    }
    state
}

fn digest(state: &State) -> Digest {
    let mut digest = Digest::default();
    state.objects().for_each(|object| digest.add(&to_text(&**object)));
    digest
}

fn written(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    let (_, flushed) = watch::channel(None);
    Copy { state: state.clone(), digest: digest(state), flushed }.write(&mut out).unwrap();
    out
}

#[test]
fn it_comes_out_as_it_went_in() {
    let state = some_state();
    let bytes = written(&state);
    let (again, found) = read(&mut bytes.as_slice()).unwrap();
    assert_eq!(found, digest(&state));
    assert_eq!(again.core(), state.core());
    assert_eq!(again.applied_index(), 3);
    assert!(again.objects().eq(state.objects()) && again.object_count() > 2);
    assert!(again.answers().eq(state.answers()) && again.answers().count() > 0);
    again.check();
    assert_eq!(written(&again), bytes);
    let rows: Vec<_> = AsRows(state.clone()).resources().map(|row| row.key.name).collect();
    assert_eq!(rows.len(), state.object_count());
}

#[test]
fn what_is_not_what_was_applied_is_not_written() {
    let state = some_state();
    let mut digest = digest(&state);
    digest.add("a bit fell");
    let (_, flushed) = watch::channel(None);
    let error = Copy { state, digest, flushed }.write(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("is the memory of this machine sound?"), "{error}");
}

#[test]
fn what_is_not_a_state_of_this_format_is_refused() {
    let bytes = written(&some_state());
    let text = String::from_utf8(bytes.clone()).unwrap();
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    assert!(read(&mut newer.as_bytes()).unwrap_err().to_string().contains("format 2"));
    assert!(read(&mut text.replacen("{\"object\"", "{\"subject\"", 1).as_bytes()).is_err());
    assert!(read(&mut &bytes[..bytes.len() / 2]).is_err());
    assert!(read(&mut &b""[..]).is_err());
}
