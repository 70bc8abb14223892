-- What a server keeps for a while and may lose: sessions, codes to sign in with, answers that are given again to a repeated request.
-- Nothing of it is evidence; facts are in the ledger. `id` is a hash wherever the thing itself would let somebody in.
CREATE TABLE lapsing (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    body TEXT NOT NULL,
    expires_us BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX lapsing_by_owner ON lapsing (kind, owner);
CREATE INDEX lapsing_by_time ON lapsing (expires_us);
-- Lists of incidents are read by the kind of entry.
CREATE INDEX event_by_kind ON event (kind, seq);
-- What webhooks delivered. A row is written when a delivery is accepted and stays, so that a replay is known. The body lies in
-- `sealed` under `inbox/<id>` until it is worked off. This is a queue, not a record: what a delivery led to is in the ledger.
CREATE TABLE inbox (
    id TEXT PRIMARY KEY NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    delivery TEXT NOT NULL,
    topic TEXT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    received_us BIGINT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    due_us BIGINT NOT NULL,
    worker TEXT NOT NULL,
    claimed_us BIGINT NOT NULL,
    note TEXT NOT NULL,
    UNIQUE (source, digest)
);
CREATE INDEX inbox_due ON inbox (state, due_us);
