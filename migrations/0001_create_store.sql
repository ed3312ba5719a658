-- What one controller replica keeps: the current State (resource, answer), its history (audit), and how far along the
-- Raft log all of it is (replica). Written by one session only, the one that holds the store's advisory lock, and only
-- together with replica.applied_index in one transaction.
--
-- Text is COLLATE "C" throughout: byte order is the same on every machine, and a C library upgrade, which may change
-- any other collation, can never silently corrupt an index.
--
-- JSON is `json`, not `jsonb`: it gives back the very bytes that were written, accepts every string a tenant may
-- send (jsonb refuses \u0000, which would stop the log for ever), and was faster to write and to load when measured.

CREATE TABLE replica (
    singleton      boolean     NOT NULL DEFAULT true PRIMARY KEY CHECK (singleton),
    cluster_id     uuid        NOT NULL,
    replica_id     bigint      NOT NULL CHECK (replica_id >= 0),
    applied_index  bigint      CHECK (applied_index >= 0),
    log_position   json,
    membership     json,
    core           json,
    committed_at   timestamptz,
    CONSTRAINT mark_is_whole CHECK (
        (applied_index IS NULL) = (log_position IS NULL)
        AND (applied_index IS NULL) = (membership IS NULL)
        AND (applied_index IS NULL) = (core IS NULL)
    )
);
COMMENT ON TABLE replica IS 'One row: whose database this is, and how much of the Raft log it holds.';
COMMENT ON COLUMN replica.singleton IS 'Always true: the primary key that keeps this table at one row.';
COMMENT ON COLUMN replica.cluster_id IS 'Cluster this database belongs to. Never changes. Every later schema must keep this column: it is read before migrating.';
COMMENT ON COLUMN replica.replica_id IS 'Raft id of the replica this database belongs to. Never changes. Read before migrating, as cluster_id.';
COMMENT ON COLUMN replica.applied_index IS 'Index of the last log entry whose effects are in these tables, all of them and nothing later. NULL: none yet (0 is a real entry).';
COMMENT ON COLUMN replica.log_position IS 'The Raft log id (term, leader, index) of that entry.';
COMMENT ON COLUMN replica.membership IS 'The last Raft membership at or below that entry.';
COMMENT ON COLUMN replica.core IS 'What State holds beside rows and answers: its clock, the cluster version, ...';
COMMENT ON COLUMN replica.committed_at IS 'When this database last moved forward, by its own clock. For people: nothing decides by it.';

CREATE TABLE resource (
    kind             text   COLLATE "C" NOT NULL,
    tenant           text   COLLATE "C" NOT NULL,
    workspace        text   COLLATE "C" NOT NULL,
    network          text   COLLATE "C" NOT NULL,
    name             text   COLLATE "C" NOT NULL,
    uid              uuid   NOT NULL,
    resource_version bigint NOT NULL,
    changed_index    bigint NOT NULL,
    created_at_ms    bigint NOT NULL,
    modified_at_ms   bigint NOT NULL,
    deleted_at_ms    bigint,
    body             json   NOT NULL,
    PRIMARY KEY (kind, tenant, workspace, network, name)
)
-- Room in each page for the next version of a row: status reports rewrite rows, and with room and no index on what they
-- change, Postgres need not touch the index (a "HOT" update).
WITH (fillfactor = 85);
COMMENT ON TABLE resource IS 'Current state: one row per object of any kind. Read at start only; afterwards memory answers.';
COMMENT ON COLUMN resource.kind IS 'Kind of the object, as the model names it.';
COMMENT ON COLUMN resource.tenant IS 'Tenant, empty where the kind''s scope has none.';
COMMENT ON COLUMN resource.workspace IS 'Workspace, empty where the kind''s scope has none.';
COMMENT ON COLUMN resource.network IS 'Network the object is nested in, empty where the kind''s scope has none.';
COMMENT ON COLUMN resource.name IS 'Name, unique within kind and scope.';
COMMENT ON COLUMN resource.uid IS 'This incarnation (UUIDv7): a name deleted and used again has another.';
COMMENT ON COLUMN resource.resource_version IS 'SECA resourceVersion: raised by requests only.';
COMMENT ON COLUMN resource.changed_index IS 'Log index of the last change of any sort.';
COMMENT ON COLUMN resource.created_at_ms IS 'Milliseconds since 1970 UTC, by the clock of State.';
COMMENT ON COLUMN resource.modified_at_ms IS 'Milliseconds since 1970 UTC, by the clock of State.';
COMMENT ON COLUMN resource.deleted_at_ms IS 'When deletion was asked for; the row goes once nothing real is left of the object. NULL: not asked for.';
COMMENT ON COLUMN resource.body IS 'Everything else of the object, with kind and schema version inside, byte for byte as the model wrote it.';

CREATE TABLE answer (
    request_id uuid   NOT NULL PRIMARY KEY,
    log_index  bigint NOT NULL,
    answer     json   NOT NULL
);
CREATE INDEX answer_log_index ON answer (log_index);
COMMENT ON TABLE answer IS 'The bounded window of recent requests and what they were answered, so that a retry gets the same answer.';
COMMENT ON COLUMN answer.request_id IS 'Request id of the proposal.';
COMMENT ON COLUMN answer.log_index IS 'Log index of the entry that was answered; the window is trimmed by it.';
COMMENT ON COLUMN answer.answer IS 'The answer, byte for byte as the model wrote it.';

CREATE TABLE audit (
    log_index  bigint  NOT NULL,
    ordinal    integer NOT NULL,
    at_ms      bigint  NOT NULL,
    request_id uuid    NOT NULL,
    actor      text    COLLATE "C" NOT NULL,
    action     text    COLLATE "C" NOT NULL,
    subject    text    COLLATE "C" NOT NULL,
    outcome    json    NOT NULL,
    PRIMARY KEY (log_index, ordinal)
);
-- Rows arrive in the order of time, so a few bytes per 128 pages find a time range.
CREATE INDEX audit_at_ms ON audit USING brin (at_ms);
COMMENT ON TABLE audit IS 'History: who asked for what and what came of it. The same rows with the same keys on every replica; only ever appended to.';
COMMENT ON COLUMN audit.log_index IS 'Log index of the entry this row tells of.';
COMMENT ON COLUMN audit.ordinal IS 'Position among the rows of that entry.';
COMMENT ON COLUMN audit.at_ms IS 'Milliseconds since 1970 UTC, by the clock of State; never runs back.';
COMMENT ON COLUMN audit.request_id IS 'Request id of the proposal.';
COMMENT ON COLUMN audit.actor IS 'Who asked. A NUL, which Postgres cannot hold, is shown as U+2400.';
COMMENT ON COLUMN audit.action IS 'What was asked. NUL as in actor.';
COMMENT ON COLUMN audit.subject IS 'What it was asked of. NUL as in actor.';
COMMENT ON COLUMN audit.outcome IS 'What came of it, byte for byte as the model wrote it.';
