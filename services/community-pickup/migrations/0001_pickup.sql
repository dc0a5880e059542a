-- +goose Up

-- The one outcome of each spell (pickup.Task). The columns beside it are what is searched by.
CREATE TABLE task (
    id            uuid PRIMARY KEY,        -- UUIDv5 of the spell id: there cannot be two
    reference     text NOT NULL,
    team          text NOT NULL,           -- empty where no pick-up is due
    progress      text NOT NULL,
    due_at        timestamptz NOT NULL,    -- in the year 9999 where there is none
    -- The next moment at which a notice is to fire; null when none is to come.
    next_deadline timestamptz,
    task          text NOT NULL            -- JSON
) WITH (toast_tuple_target = 8160); -- a task is some 2 kB: it is not worth compressing
CREATE INDEX task_reference ON task (reference);
CREATE INDEX task_deadline ON task (next_deadline) WHERE next_deadline IS NOT NULL;
CREATE INDEX task_open ON task (team, due_at, id) WHERE progress IN ('untaken', 'taken', 'picked-up');

-- What fired, once: a second lock beside the task's own record.
CREATE TABLE notice (
    task_id  uuid NOT NULL,
    kind     text NOT NULL,
    schedule integer NOT NULL,
    due_at   timestamptz NOT NULL,
    fired_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, kind, schedule, due_at)
);
