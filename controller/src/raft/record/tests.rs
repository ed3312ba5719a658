//! The bytes on disk, held still.

use super::*;

fn entry(payload: EntryPayload) -> Entry {
    Entry { log_id: log_id(0x0102, 3, 7), payload }
}

fn members_of_three() -> Members {
    let addresses = BTreeMap::from([(1, "a:1".to_owned()), (2, "b:2".to_owned()), (3, "c:3".to_owned())]);
    Members { entry: None, voters: vec![BTreeSet::from([1, 2])], addresses }
}

#[track_caller]
fn check(entry: &Entry, golden: &[u8]) {
    let mut record = Vec::new();
    put_entry(entry, &mut record).unwrap();
    assert_eq!(record, golden, "records of this format are on disks: a change needs a new format byte");
    let back = read_entry(entry.log_id.index, Bytes::copy_from_slice(golden)).unwrap();
    assert_eq!(back, *entry);
}

const HEAD: &[u8] = b"\x01\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";

#[test]
fn entries_have_golden_bytes() {
    check(&entry(EntryPayload::Blank), &[HEAD, b"\0"].concat());
    check(&entry(EntryPayload::Normal(Proposal(Bytes::new()))), &[HEAD, b"\x01"].concat());
    check(&entry(EntryPayload::Normal(Proposal(Bytes::from_static(b"{}")))), &[HEAD, b"\x01{}"].concat());

    let Members { voters, addresses, .. } = members_of_three();
    let json = br#"{"voters":[[1,2]],"addresses":{"1":"a:1","2":"b:2","3":"c:3"}}"#;
    let change = EntryPayload::Membership(membership(voters, &addresses).unwrap());
    check(&entry(change), &[HEAD, b"\x02", json.as_slice()].concat());
}

#[test]
fn votes_and_log_ids_have_golden_bytes() {
    let vote = Vote { leader_id: LeaderId { term: 5, node_id: 2 }, committed: true };
    assert_eq!(put_vote(&vote), b"\x01\x05\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01");
    assert_eq!(read_vote(&put_vote(&vote)).unwrap(), vote);

    let id = log_id(5, 2, 9);
    assert_eq!(put_log_id(&id), b"\x01\x05\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0");
    assert_eq!(read_log_id(&put_log_id(&id)).unwrap(), id);
}

/// A machine keeps it beside its state.
#[test]
fn a_position_has_golden_bytes() {
    let members = Members { entry: Some((1, 1, 4)), ..members_of_three() };
    let position = super::super::Position { term: 5, node: 2, index: 9, members: Arc::new(members) };
    let golden = r#"{"term":5,"node":2,"index":9,"members":{"entry":[1,1,4],"voters":[[1,2]],"addresses":{"1":"a:1","2":"b:2","3":"c:3"}}}"#;
    assert_eq!(serde_json::to_string(&position).unwrap(), golden);
    assert_eq!(serde_json::from_str::<super::super::Position>(golden).unwrap(), position);
}

#[test]
fn what_is_not_a_record_is_refused() {
    let refused = |bytes: &[u8]| read_entry(1, Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
    assert!(refused(b"").contains("cut short"));
    assert!(refused(HEAD).contains("cut short"));
    assert!(refused(&[HEAD, b"\x09"].concat()).contains("unknown kind 9"));
    assert!(refused(&[b"\x02", &HEAD[1..], b"\0"].concat()).contains("format 2"));
}
