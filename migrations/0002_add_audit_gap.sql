-- A replica that was given a snapshot has the State without the history that led to it. What is missing stands here until
-- it was fetched from another replica.

CREATE TABLE audit_gap (
    first_index bigint NOT NULL PRIMARY KEY CHECK (first_index >= 0),
    last_index  bigint NOT NULL CHECK (last_index >= first_index)
);
COMMENT ON TABLE audit_gap IS 'Ranges of the Raft log whose rows of audit are not here yet. Empty: the audit trail is whole.';
COMMENT ON COLUMN audit_gap.first_index IS 'Log index of the first entry whose history is missing; grows as rows are fetched.';
COMMENT ON COLUMN audit_gap.last_index IS 'Log index of the last such entry.';
