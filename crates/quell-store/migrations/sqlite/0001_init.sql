-- One event table, globally ordered. `entry` is the canonical JSON exactly as hashed; the other columns repeat
-- parts of it for look-ups, and `quell ledger verify` compares them with it.
CREATE TABLE event (
    seq BIGINT PRIMARY KEY NOT NULL,
    stream TEXT NOT NULL,
    pos BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    entry BLOB NOT NULL,
    leaf BLOB NOT NULL,
    UNIQUE (stream, pos)
);
-- Full subtrees of the RFC 6962 tree, written once each.
CREATE TABLE node (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, idx)
);
-- C2SP signed checkpoints, one per commit.
CREATE TABLE checkpoint (
    size BIGINT PRIMARY KEY NOT NULL,
    note TEXT NOT NULL
);
-- Evidence by content.
CREATE TABLE evidence (
    sha256 TEXT PRIMARY KEY NOT NULL,
    body BLOB NOT NULL
);
-- Values: body under a data key, the data key under the key-encryption key.
CREATE TABLE sealed (
    id TEXT PRIMARY KEY NOT NULL,
    kek TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
-- A guard against our own bugs, not against an attacker with the file: that is what the signature is for.
CREATE TRIGGER event_is_append_only_u BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER event_is_append_only_d BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER node_is_append_only_u BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER node_is_append_only_d BEFORE DELETE ON node BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER checkpoint_is_append_only_u BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER checkpoint_is_append_only_d BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
