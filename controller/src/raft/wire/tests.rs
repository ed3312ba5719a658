//! What is said is what is heard.

use openraft::EntryPayload;

use super::{super::engine::Entry, *};
use crate::raft::Proposal;

fn vote() -> Vote {
    Vote { leader_id: LeaderId { term: 4, node_id: 2 }, committed: true }
}

fn request(entries: Vec<Entry>) -> AppendEntriesRequest<Types> {
    AppendEntriesRequest {
        vote: vote(),
        prev_log_id: Some(log_id(3, 1, 8)),
        entries,
        leader_commit: Some(log_id(3, 1, 7)),
    }
}

#[test]
fn entries_arrive_with_their_bytes_and_indices() {
    let proposal = Proposal(Bytes::from_static(b"\0\xff bytes, as they are"));
    let sent = request(vec![
        Entry { log_id: log_id(4, 2, 9), payload: EntryPayload::Blank },
        Entry { log_id: log_id(4, 2, 10), payload: EntryPayload::Normal(proposal) },
    ]);
    let message = encode_append(7, &sent).unwrap();
    let (envelope, heard) = decode_append(message.clone()).unwrap();
    assert_eq!(envelope, Envelope { to: 7 });
    assert_eq!(
        (heard.vote, heard.prev_log_id, heard.leader_commit),
        (sent.vote, sent.prev_log_id, sent.leader_commit)
    );
    assert_eq!(heard.entries, sent.entries);
    for cut in 1..message.len() {
        let whole_entries =
            decode_append(message.slice(..cut)).is_ok_and(|(_, heard)| heard.entries.len() < 2);
        assert!(whole_entries || decode_append(message.slice(..cut)).is_err(), "cut at {cut}");
    }
}

/// The header of a request to append, as replicas of other versions know it.
#[test]
fn an_append_has_golden_bytes() {
    let header = br#"{"to":7,"vote":{"term":4,"node":2,"committed":true},"prev":[3,1,8],"commit":[3,1,7]}"#;
    let record = b"\x01\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01x";
    let golden = [
        &u32::try_from(header.len()).unwrap().to_le_bytes(),
        header.as_slice(),
        &u32::try_from(record.len()).unwrap().to_le_bytes(),
        record,
    ]
    .concat();
    let payload = EntryPayload::Normal(Proposal(Bytes::from_static(b"x")));
    let sent = request(vec![Entry { log_id: log_id(4, 2, 9), payload }]);
    assert_eq!(encode_append(7, &sent).unwrap(), golden);
}

#[test]
fn every_answer_survives_the_way() {
    let appended = [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(Some(log_id(1, 2, 3))),
        AppendEntriesResponse::PartialSuccess(None),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(vote()),
    ];
    for answer in appended {
        assert_eq!(decode_appended(&encode_appended(answer.clone()).unwrap()).unwrap(), answer);
    }

    let mut asked = VoteRequest::new(vote(), Some(log_id(1, 2, 3)));
    asked.leadership_transfer = true;
    assert_eq!(decode_vote(&encode_vote(3, &asked).unwrap()).unwrap(), (Envelope { to: 3 }, asked));
    let voted = VoteResponse::new(vote(), None, true);
    assert_eq!(decode_voted(&encode_voted(&voted).unwrap()).unwrap(), voted);

    let transfer = TransferLeaderRequest::new(vote(), 3, Some(log_id(1, 2, 3)));
    assert_eq!(
        decode_transfer(&encode_transfer(1, &transfer).unwrap()).unwrap(),
        (Envelope { to: 1 }, transfer)
    );
    let transferred = [
        Ok(()),
        Err(TransferLeaderError::VoteChanged { expected: vote(), actual: vote() }),
        Err(TransferLeaderError::LogNotFlushed { expected: Some(log_id(1, 2, 3)), actual: None }),
    ];
    for answer in transferred {
        assert_eq!(decode_transferred(&encode_transferred(&answer).unwrap()).unwrap(), answer);
    }
}
