-- +goose Up

-- Every message as it came, by whatever door, before anybody looked into it. Append-only.
CREATE TABLE inbound (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed        text NOT NULL,        -- key of the feed; empty when the sender is not known
    format      text NOT NULL,        -- hl7v2 or record-event
    control_id  text NOT NULL,        -- MSH-10 or message_id
    digest      bytea NOT NULL,       -- SHA-256 of the body
    received_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    accepted    boolean NOT NULL,     -- false for what was rejected: its bytes are kept, nothing comes of it
    body        bytea NOT NULL
);
-- The same bytes from the same sender are one message.
CREATE UNIQUE INDEX inbound_once ON inbound (digest, feed);
CREATE INDEX inbound_control ON inbound (control_id, id);
CREATE INDEX inbound_trace ON inbound (substr(traceparent, 4, 32)) WHERE traceparent <> '';

-- The messages that wait for interpretation.
CREATE TABLE inbound_pending (
    id bigint PRIMARY KEY
);

-- What each interpreted message says about its spell (discharge.Fact). Append-only.
CREATE TABLE fact (
    inbound_id bigint PRIMARY KEY,
    spell_id   uuid NOT NULL,
    fact       text NOT NULL   -- JSON
);
CREATE INDEX fact_spell ON fact (spell_id);

-- One row for each spell: how far its handover is. Its state is the fold of its facts, and stands in the outbox. The confirmation
-- changes no indexed column, and finds room beside the row.
CREATE TABLE spell (
    id                uuid PRIMARY KEY,
    reference         text NOT NULL,
    received_at       timestamptz NOT NULL,   -- of the newest message
    delivered_epoch   integer NOT NULL DEFAULT 0,
    delivered_version bigint NOT NULL DEFAULT 0,
    delivered_at      timestamptz,            -- when community-pickup confirmed that version
    taken_at          timestamptz
) WITH (fillfactor = 60);
CREATE INDEX spell_reference ON spell (reference);

-- The spells whose current version was not confirmed within a minute, until it is; and up to when that has been looked into.
CREATE TABLE undelivered (
    spell_id uuid PRIMARY KEY,
    since    timestamptz NOT NULL
);
CREATE TABLE chased (
    single boolean PRIMARY KEY DEFAULT true CHECK (single), -- one row
    until  timestamptz NOT NULL
);
INSERT INTO chased (until) VALUES ('1970-01-01Z');

-- Which spells are about one stay, by discharge.StayKey. More than one is an exception.
CREATE TABLE stay (
    key      uuid NOT NULL,
    spell_id uuid NOT NULL,
    PRIMARY KEY (key, spell_id)
);

-- Who the person of a spell is (discharge.Person): the only place with names.
CREATE TABLE person (
    spell_id uuid PRIMARY KEY,
    person   text NOT NULL   -- JSON
);

-- What a person has to look at.
CREATE TABLE exception (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    owner      text NOT NULL,
    opened_at  timestamptz NOT NULL,
    closed_at  timestamptz,
    inbound_id bigint NOT NULL,
    spell_id   uuid,
    detail     text NOT NULL,
    UNIQUE (inbound_id, kind)
);
CREATE INDEX exception_open ON exception (id) WHERE closed_at IS NULL;
CREATE INDEX exception_spell ON exception (spell_id) WHERE spell_id IS NOT NULL;

-- Messages that say nothing to the hub yet, by name, for instance ADT^A28.
CREATE TABLE not_handled (
    inbound_id bigint PRIMARY KEY,
    message    text NOT NULL
);
