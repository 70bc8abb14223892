-- What lists and look-ups read instead of folding the whole ledger. Nothing here is a source: every row is computed from entries, is left
-- out of backups, and may be deleted at any time. `form` is the shape that a version of the program gives its rows; two versions that
-- share a database keep their rows apart.
CREATE TABLE projection (
    form BIGINT PRIMARY KEY NOT NULL,
    -- Entries before this number are in it.
    seq BIGINT NOT NULL,
    -- Another one after each beginning from nothing.
    epoch BIGINT NOT NULL
);
-- One row for each incident.
CREATE TABLE projection_incident (
    form BIGINT NOT NULL,
    stream TEXT NOT NULL,
    number BIGINT NOT NULL,
    next_pos BIGINT NOT NULL,
    status TEXT NOT NULL,
    severity TEXT NOT NULL,
    drill BIGINT NOT NULL,
    driven BIGINT NOT NULL,
    words TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (form, stream)
);
CREATE INDEX projection_incident_by_number ON projection_incident (form, number);
CREATE INDEX projection_incident_by_driven ON projection_incident (form, driven);
-- Which incident, or which entry of the installation, speaks of something.
CREATE TABLE projection_mention (
    form BIGINT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    place TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (form, kind, value, place, seq)
);
CREATE INDEX projection_mention_by_place ON projection_mention (form, place, kind, seq);
