//! The bugs that the simulator has to find, each planted in production code or, where that is Postgres, in what stands in
//! for it. `docs/design/0009-simulation.md` has the table of what finds them.

/// Names, as code asks for them with `planted`.
pub(super) const BUGS: [&str; 34] = [
    // The log's files and the thread that writes them.
    "fsync-skipped",
    "log-answers-before-the-fsync",
    "durable-when-written",
    "vote-not-durable",
    "truncation-skipped",
    "purge-takes-one-more",
    // State machine, snapshots, purge.
    "apply-skips-one",
    "answers-before-the-state-is-published",
    "read-index-without-a-quorum",
    "snapshot-before-postgres",
    "snapshot-without-answers",
    "purge-beyond-the-snapshot",
    "install-does-not-wait-for-postgres",
    "install-keeps-older-rows",
    // Rows and the mark.
    "change-dropped",
    "deletion-not-written",
    "answer-not-written",
    "answers-not-loaded",
    "flushed-before-the-commit",
    "mark-in-a-second-transaction",
    // The model.
    "repeated-request-done-again",
    "answers-forgotten-early",
    "precondition-skipped",
    "clock-runs-back",
    "quota-unchecked",
    "address-given-twice",
    "room-unchecked",
    "room-not-given-back",
    "disk-on-another-host",
    "generation-ignored",
    "power-taken-for-done",
    "epoch-runs-back",
    "gone-before-the-host-says-so",
    "never-told-to-go",
];
