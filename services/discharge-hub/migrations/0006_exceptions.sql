-- +goose Up

-- How people deal with exceptions. An exception that later messages made untrue has an empty closed_how.
ALTER TABLE exception
    ADD COLUMN version    integer NOT NULL DEFAULT 1,             -- grows with each thing that a person does to it
    ADD COLUMN closed_how text NOT NULL DEFAULT '',               -- corrected, replayed or dismissed
    ADD COLUMN closed_by  text NOT NULL DEFAULT '',               -- subject
    ADD COLUMN reason     text NOT NULL DEFAULT '',               -- code of a dismissal
    ADD COLUMN note       text NOT NULL DEFAULT '',               -- in words, and may hold personal data
    ADD COLUMN alarms     integer NOT NULL DEFAULT 0,             -- how many it has raised
    ADD COLUMN alarm_at   timestamptz NOT NULL DEFAULT '-infinity'; -- when it raises the next one; -infinity: not worked out yet
CREATE INDEX exception_alarm ON exception (alarm_at) WHERE closed_at IS NULL;

-- A message that a person corrected, and the corrected copy that takes its place. A copy can be corrected in its turn.
CREATE TABLE correction (
    inbound_id   bigint PRIMARY KEY,     -- the copy
    supersedes   bigint NOT NULL UNIQUE, -- the message
    exception_id bigint NOT NULL
);

-- The facts of a message whose copy has taken its place, or which was read again and names other people then, are in no fold.
ALTER TABLE fact ADD COLUMN superseded_by bigint;
ALTER TABLE person_fact ADD COLUMN superseded_by bigint;
