//! The bugs that the simulator has to find, each planted in production code or, where that is Postgres, in what stands in
//! for it. `docs/design/0009-simulation.md` says where each is and what finds it.

/// Found within seconds: what every ordinary run makes sure of. Names, as code asks for them with `planted`.
pub(super) const QUICK: [&str; 13] = [
    "fsync-skipped",
    "vote-not-durable",
    "apply-skips-one",
    "answers-before-the-state-is-published",
    "change-dropped",
    "deletion-not-written",
    "answer-not-written",
    "answers-not-loaded",
    "flushed-before-the-commit",
    "mark-in-a-second-transaction",
    "quota-unchecked",
    "address-given-twice",
    "epoch-runs-back",
];

/// These take some seeds.
pub(super) const SLOW: [&str; 16] = [
    "log-answers-before-the-fsync",
    "durable-when-written",
    "truncation-skipped",
    "read-index-without-a-quorum",
    "old-ballot",
    "purge-takes-one-more",
    "snapshot-without-answers",
    "repeated-request-done-again",
    "precondition-skipped",
    "clock-runs-back",
    "room-unchecked",
    "room-not-given-back",
    "disk-on-another-host",
    "generation-ignored",
    "gone-before-the-host-says-so",
    "never-told-to-go",
];
