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
