-- +goose Up

-- The epoch of everything that this database publishes. A restore to an earlier point bumps it, so that what is published afterwards is
-- newer than what consumers saw before.
CREATE TABLE epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single), -- one row
    epoch  integer NOT NULL
);
INSERT INTO epoch (epoch) VALUES (1);

-- One row for each aggregate that this service publishes: its current snapshot.
CREATE TABLE outbox (
    id          uuid PRIMARY KEY,
    type        text NOT NULL,
    key         uuid NOT NULL,
    epoch       integer NOT NULL,
    version     bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    data        bytea NOT NULL
);
CREATE INDEX outbox_recorded ON outbox (recorded_at, id);

-- The aggregates whose current snapshot is still to be handed to JetStream. Each saved version adds a row of its own, so that one that
-- is saved while another is on the way is sent too.
CREATE TABLE outbox_unsent (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT ''
);

-- One row for each aggregate of other services that this service has applied: the newest snapshot. A snapshot that is not newer is
-- not applied again.
CREATE TABLE inbox (
    id          uuid NOT NULL,
    type        text NOT NULL,
    key         uuid NOT NULL,
    epoch       integer NOT NULL,
    version     bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    data        bytea NOT NULL,
    applied_at  timestamptz NOT NULL,
    PRIMARY KEY (id, type)
);

-- Events that could not be applied. They stay until somebody replays or dismisses them.
CREATE TABLE dead_letter (
    id         uuid NOT NULL,
    type       text NOT NULL,
    key        uuid NOT NULL,
    epoch      integer NOT NULL,
    version    bigint NOT NULL,
    data       bytea NOT NULL,
    error      text NOT NULL,
    attempts   integer NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    PRIMARY KEY (id, type, epoch, version)
);

CREATE TABLE audit (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor    text NOT NULL,
    action   text NOT NULL,
    record   uuid NOT NULL,
    detail   text NOT NULL,
    trace_id text NOT NULL
);
CREATE INDEX audit_record ON audit (record);
