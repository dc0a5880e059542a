-- +goose Up

-- The times that this database was restored to an earlier point, as `<service> restored` noted them.
CREATE TABLE restore (
    epoch         integer PRIMARY KEY,  -- that it began
    kept_until    timestamptz NOT NULL, -- the newest moment that the restored database knows: what was recorded after it may be missing
    restored_at   timestamptz NOT NULL,
    taken_over_at timestamptz,          -- when the service had taken over what others hold, and opened its doors
    closed_at     timestamptz           -- when what was missing had been sent again, where somebody can
);

-- What other services held of this service's own aggregates, where it was newer than what the restored database holds.
CREATE TABLE taken_over (
    id          uuid PRIMARY KEY,
    type        text NOT NULL,
    key         uuid NOT NULL,
    epoch       integer NOT NULL,
    version     bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    data        bytea NOT NULL,           -- empty where only the version is known
    adopted_at  timestamptz,
    error       text NOT NULL DEFAULT '' -- why it could not be adopted
);
CREATE INDEX taken_over_waiting ON taken_over (id) WHERE adopted_at IS NULL;
