-- One event table, globally ordered. `entry` is the canonical JSON exactly as hashed; the other columns repeat
-- parts of it for look-ups, and `quell ledger verify` compares them with it.
CREATE TABLE event (
    seq BIGINT PRIMARY KEY NOT NULL,
    stream TEXT NOT NULL,
    pos BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    entry BYTEA NOT NULL,
    leaf BYTEA NOT NULL,
    UNIQUE (stream, pos)
);
-- Full subtrees of the RFC 6962 tree, written once each.
CREATE TABLE node (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hash BYTEA NOT NULL,
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
    body BYTEA NOT NULL
);
-- Values: body under a data key, the data key under the key-encryption key.
CREATE TABLE sealed (
    id TEXT PRIMARY KEY NOT NULL,
    kek TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    body BYTEA NOT NULL
);
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
-- A guard against our own bugs, not against an attacker with the database: that is what the signature is for.
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER node_is_append_only BEFORE UPDATE OR DELETE ON node FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER checkpoint_is_append_only BEFORE UPDATE OR DELETE ON checkpoint FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
