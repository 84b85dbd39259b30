-- The ledger, version 2: people who pass by outside, and what nodes tell of themselves.

-- People past a barrier whose role is passers-by, both directions as one number. `place` is the id of its [[site.door]].
-- sent: as in bucket_hour.
CREATE TABLE passersby_quarter (
    site TEXT NOT NULL,
    place TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    passers_by INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    PRIMARY KEY (site, place, start_ms)
) WITHOUT ROWID;
CREATE TABLE passersby_hour (
    site TEXT NOT NULL,
    place TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    passers_by INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, place, start_ms)
) WITHOUT ROWID;

-- Visitors and passers-by of the same watched quarters of an hour: the capture rate is their quotient.
CREATE TABLE capture_hour (
    site TEXT NOT NULL,
    place TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    visitors INTEGER NOT NULL,
    passers_by INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, place, start_ms)
) WITHOUT ROWID;

-- Crash reports, the latest of each node; node.crashes counts all that there have been.
ALTER TABLE node ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE crash (
    id INTEGER PRIMARY KEY,
    node_id INTEGER NOT NULL REFERENCES node (id),
    boot INTEGER NOT NULL,                  -- the start of the node that ended so
    firmware TEXT NOT NULL,
    text TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    UNIQUE (node_id, boot, text)
);

-- The last state of each node, as it was told; told_ms NULL: it lay in the broker, nobody knows how old it is.
CREATE TABLE node_state (
    node_id INTEGER PRIMARY KEY REFERENCES node (id),
    online INTEGER NOT NULL,
    state TEXT NOT NULL,
    told_ms INTEGER
);

-- The configuration that each node is to have. rev goes up whenever content changes.
CREATE TABLE node_config (
    node_id INTEGER PRIMARY KEY REFERENCES node (id),
    rev INTEGER NOT NULL,
    content TEXT NOT NULL,
    since_ms INTEGER NOT NULL
);

-- When a person said that the gateway's clock is right although it says less than it did: who and why.
CREATE TABLE clock_trust (
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    was_ms INTEGER NOT NULL,                -- the latest moment that the ledger knew until then
    trusted_ms INTEGER NOT NULL
);

-- Edges that a node's hardware counters saw and its program did not.
CREATE INDEX missed_by_spool ON record (spool_id) WHERE kind = 'H';

-- Key columns first: SQLite 3.40 mixes up the columns of a table WITHOUT ROWID where they are not, when it checks the file.
ALTER TABLE dirty RENAME TO dirty_1;
CREATE TABLE dirty (
    quarter_ms INTEGER NOT NULL,
    node_id INTEGER NOT NULL REFERENCES node (id),
    PRIMARY KEY (quarter_ms, node_id)
) WITHOUT ROWID;
INSERT INTO dirty (quarter_ms, node_id) SELECT quarter_ms, node_id FROM dirty_1;
DROP TABLE dirty_1;

ALTER TABLE dirty_bucket RENAME TO dirty_bucket_1;
CREATE TABLE dirty_bucket (
    quarter_ms INTEGER NOT NULL,
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    PRIMARY KEY (quarter_ms, site, door)
) WITHOUT ROWID;
INSERT INTO dirty_bucket (quarter_ms, site, door) SELECT quarter_ms, site, door FROM dirty_bucket_1;
DROP TABLE dirty_bucket_1;

ALTER TABLE compacted_passages RENAME TO compacted_passages_1;
CREATE TABLE compacted_passages (
    node_id INTEGER NOT NULL REFERENCES node (id),
    quarter_ms INTEGER NOT NULL,
    barrier INTEGER NOT NULL,
    n_in INTEGER NOT NULL DEFAULT 0,
    n_out INTEGER NOT NULL DEFAULT 0,
    undirected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node_id, quarter_ms, barrier)
) WITHOUT ROWID;
INSERT INTO compacted_passages (node_id, quarter_ms, barrier, n_in, n_out, undirected)
    SELECT node_id, quarter_ms, barrier, n_in, n_out, undirected FROM compacted_passages_1;
DROP TABLE compacted_passages_1;

ALTER TABLE compacted_presses RENAME TO compacted_presses_1;
CREATE TABLE compacted_presses (
    node_id INTEGER NOT NULL REFERENCES node (id),
    quarter_ms INTEGER NOT NULL,
    button INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    presses INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node_id, quarter_ms, button, revision)
) WITHOUT ROWID;
INSERT INTO compacted_presses (node_id, quarter_ms, button, revision, presses, suppressed)
    SELECT node_id, quarter_ms, button, revision, presses, suppressed FROM compacted_presses_1;
DROP TABLE compacted_presses_1;

ALTER TABLE feedback_quarter RENAME TO feedback_quarter_1;
CREATE TABLE feedback_quarter (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    presses INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    PRIMARY KEY (site, door, start_ms, question, answer)
) WITHOUT ROWID;
INSERT INTO feedback_quarter (site, door, start_ms, question, answer, presses, suppressed)
    SELECT site, door, start_ms, question, answer, presses, suppressed FROM feedback_quarter_1;
DROP TABLE feedback_quarter_1;

ALTER TABLE feedback_hour RENAME TO feedback_hour_1;
CREATE TABLE feedback_hour (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    presses INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms, question, answer)
) WITHOUT ROWID;
INSERT INTO feedback_hour (site, door, start_ms, question, answer, presses, suppressed, sent)
    SELECT site, door, start_ms, question, answer, presses, suppressed, sent FROM feedback_hour_1;
DROP TABLE feedback_hour_1;
