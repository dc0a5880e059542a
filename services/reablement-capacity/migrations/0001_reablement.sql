-- +goose Up

-- What a provider offers in an area. (id, slots) is unique so that slots can refer to both.
CREATE TABLE capacity (
    id             uuid PRIMARY KEY,
    provider       text NOT NULL,
    area           text NOT NULL,
    slots          integer NOT NULL CHECK (slots >= 0),
    visits_per_day integer NOT NULL CHECK (visits_per_day > 0),
    available_from date NOT NULL,
    valid_until    timestamptz NOT NULL,
    published_at   timestamptz NOT NULL,
    UNIQUE (id, slots)
);
CREATE INDEX capacity_area ON capacity (area, valid_until);

-- One row for each spell whose person needs reablement.
CREATE TABLE need (
    spell_id       uuid PRIMARY KEY,
    status         text NOT NULL CHECK (status IN ('requested', 'held', 'accepted', 'started', 'withdrawn')),
    area           text NOT NULL,
    visits_per_day integer NOT NULL,
    wanted_from    date NOT NULL,
    requested_at   timestamptz NOT NULL,
    provider       text NOT NULL,
    capacity_id    uuid REFERENCES capacity,
    held_until     timestamptz,
    starts_on      date,
    planned_end_on date,
    CHECK ((status IN ('held', 'accepted', 'started')) = (capacity_id IS NOT NULL)),
    CHECK (planned_end_on <= starts_on + 42)
);

-- The slots that are taken, a row each. Beside the lock on the capacity's row, these constraints keep a slot from being given twice: one
-- person a slot number, one slot a person, and no number above what is offered. `slots` repeats the capacity's and changes with it.
CREATE TABLE slot (
    capacity_id uuid NOT NULL,
    slots       integer NOT NULL,
    number      integer NOT NULL,
    spell_id    uuid NOT NULL UNIQUE REFERENCES need,
    -- From this moment the slot is free again: the end of a hold, or of the planned last day. Null: not by itself.
    until       timestamptz,
    PRIMARY KEY (capacity_id, number),
    FOREIGN KEY (capacity_id, slots) REFERENCES capacity (id, slots) ON UPDATE CASCADE,
    CHECK (number BETWEEN 1 AND slots)
);
CREATE INDEX slot_until ON slot (until) WHERE until IS NOT NULL;
