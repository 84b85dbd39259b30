-- The ledger, version 1. All times are milliseconds since 1970-01-01 UTC unless the column says t_ms (since a boot).
-- A later version is a further numbered file; meta.schema_version says which have been applied.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- A node's spool. contiguous: every seq from 1 up to it is here (or was, before it was compacted).
CREATE TABLE spool (
    id INTEGER PRIMARY KEY,
    node_id INTEGER NOT NULL REFERENCES node (id),
    name TEXT NOT NULL,
    contiguous INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,        -- numbers that are gone: the node said so, or a person gave them up
    last_received_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (node_id, name)
);

-- What is here above a hole: first..last of a spool. Usually empty.
CREATE TABLE island (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (spool_id, first)
) WITHOUT ROWID;

-- A boot of a node within a spool; its extent bounds the search when it is dated anew.
CREATE TABLE boot (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    boot INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    last_t_ms INTEGER NOT NULL,
    first_received_ms INTEGER NOT NULL,
    PRIMARY KEY (spool_id, boot)
) WITHOUT ROWID;

-- Every record exactly once: the key is the promise. kind is the wire's letter, or '?' where a record was refused and
-- only its place is kept, or '-' where it is lost or was given up. a, b, c are the fields after the kind.
CREATE TABLE record (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    seq INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    t_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    a, b, c,
    utc_ms INTEGER,                         -- NULL: the boot has not learned the time
    PRIMARY KEY (spool_id, seq)
) WITHOUT ROWID;
-- A query finds its partial index only where it repeats the index's condition word by word.
CREATE INDEX person_by_time ON record (spool_id, utc_ms) WHERE kind IN ('P', 'B', 'Q', 'E');
CREATE INDEX trouble_by_time ON record (spool_id, utc_ms) WHERE kind IN ('F', 'L');
CREATE INDEX alive_by_time ON record (spool_id, utc_ms) WHERE kind = 'A';
CREATE INDEX alive_by_t ON record (spool_id, boot, t_ms) WHERE kind = 'A';
CREATE INDEX fault_by_beam ON record (spool_id, boot, a, b, t_ms) WHERE kind = 'F';

-- The plausible clock records: at t_ms of this boot it was utc_ms.
CREATE TABLE clock (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    boot INTEGER NOT NULL,
    t_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    utc_ms INTEGER NOT NULL,
    PRIMARY KEY (spool_id, boot, t_ms, seq)
) WITHOUT ROWID;

-- Refused input, kept for a human. The same again raises `times`.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    source TEXT NOT NULL,                   -- the node, or the topic where it names none; each has its share of room
    origin TEXT NOT NULL,                   -- the topic, or "node spool seq" of a single record
    payload BLOB NOT NULL,
    digest BLOB NOT NULL UNIQUE
);
CREATE TABLE tally (
    name TEXT PRIMARY KEY,
    n INTEGER NOT NULL
) WITHOUT ROWID;

-- Quarters of a node whose buckets must be worked out again, and single buckets (a door that moved).
CREATE TABLE dirty (
    node_id INTEGER NOT NULL REFERENCES node (id),
    quarter_ms INTEGER NOT NULL,
    PRIMARY KEY (quarter_ms, node_id)
) WITHOUT ROWID;
CREATE TABLE dirty_bucket (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    quarter_ms INTEGER NOT NULL,
    PRIMARY KEY (quarter_ms, site, door)
) WITHOUT ROWID;

-- What compacted passages and presses leave behind.
CREATE TABLE compacted_passages (
    node_id INTEGER NOT NULL REFERENCES node (id),
    barrier INTEGER NOT NULL,
    quarter_ms INTEGER NOT NULL,
    n_in INTEGER NOT NULL DEFAULT 0,
    n_out INTEGER NOT NULL DEFAULT 0,
    undirected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node_id, quarter_ms, barrier)
) WITHOUT ROWID;
CREATE TABLE compacted_presses (
    node_id INTEGER NOT NULL REFERENCES node (id),
    button INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    quarter_ms INTEGER NOT NULL,
    presses INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node_id, quarter_ms, button, revision)
) WITHOUT ROWID;

-- The results. sent: InfluxDB has been given this bucket (1: without counts, 2: with), so emptying it must be told, too.
CREATE TABLE bucket_quarter (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    n_in INTEGER NOT NULL,
    n_out INTEGER NOT NULL,
    undirected INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    calibrated_in REAL NOT NULL,
    calibrated_out REAL NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms)
) WITHOUT ROWID;
CREATE TABLE bucket_hour (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    n_in INTEGER NOT NULL,
    n_out INTEGER NOT NULL,
    undirected INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    calibrated_in REAL NOT NULL,
    calibrated_out REAL NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms)
) WITHOUT ROWID;
CREATE TABLE feedback_quarter (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    presses INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    PRIMARY KEY (site, door, start_ms, question, answer)
) WITHOUT ROWID;
CREATE TABLE feedback_hour (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    presses INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms, question, answer)
) WITHOUT ROWID;

-- Buckets whose numbers changed and that wait for their end and its grace before they are written.
CREATE TABLE pending (
    what TEXT NOT NULL,                     -- quarter, hour or feedback
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,                -- the bucket's end; the grace comes on top
    PRIMARY KEY (what, site, door, start_ms)
) WITHOUT ROWID;
CREATE INDEX pending_by_due ON pending (due_ms);

-- Lines for InfluxDB, in order. A newer line of the same key takes the older one's part at the end of the queue.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused: "done" for an old line must not remove a new one
    key TEXT NOT NULL UNIQUE,
    line TEXT NOT NULL,
    put_ms INTEGER NOT NULL
);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    line TEXT NOT NULL,
    reason TEXT NOT NULL,
    rejected_ms INTEGER NOT NULL
);

-- Holes that a person gave up: who, when and why.
CREATE TABLE waiver (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    waived_ms INTEGER NOT NULL
);
