-- +goose Up

-- What is to be told to the ward about a spell, for each feed whose file says where its answers go, in the order of the ids.
CREATE TABLE answer (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed        text NOT NULL,
    spell_id    uuid NOT NULL,
    word        text NOT NULL,             -- received, delivered, taken, contacted or closed
    about       text NOT NULL,             -- the version of the spell, with that of the task where it is told again, or the time, that the word is said of: once each
    at          timestamptz NOT NULL,      -- when it happened
    team        text NOT NULL,             -- empty while none is known, or none is to come
    outcome     text NOT NULL,             -- empty while community-pickup has not confirmed
    traceparent text NOT NULL,
    recorded_at timestamptz NOT NULL,
    tries       integer NOT NULL DEFAULT 0,
    next_try    timestamptz NOT NULL,
    rejected    boolean NOT NULL DEFAULT false, -- the last try was answered AR
    accepted_at timestamptz,
    UNIQUE (spell_id, feed, word, about)
);
CREATE INDEX answer_open ON answer (feed, next_try, id) WHERE accepted_at IS NULL;

-- Every try to send one, and what came of it. Append-only.
CREATE TABLE answer_attempt (
    answer_id bigint NOT NULL,
    at        timestamptz NOT NULL,
    result    text NOT NULL,   -- MSA-1, or none; begun while it is not known
    said      text NOT NULL    -- MSA-3 or the error; what a receiver writes may name a person
);
CREATE INDEX answer_attempt_of ON answer_attempt (answer_id, at);

-- When each feed last sent something, and since when it has been silent for too long. What is looked into comes from inbound.
CREATE TABLE feed_silence (
    feed         text PRIMARY KEY,
    last_at      timestamptz NOT NULL,
    alarmed_at   timestamptz,
    exception_id bigint
);
CREATE TABLE feed_silence_read (
    single boolean PRIMARY KEY DEFAULT true CHECK (single), -- one row
    until  bigint NOT NULL                                  -- inbound.id
);
INSERT INTO feed_silence_read (until) VALUES (0);

-- The longest silence of a feed that touched an hour of a week, on the clock of the feed.
CREATE TABLE feed_silence_hour (
    feed    text NOT NULL,
    hour    smallint NOT NULL,  -- 0 is Monday from midnight to one, 167 the last of Sunday
    week    date NOT NULL,      -- its Monday
    longest interval NOT NULL,
    PRIMARY KEY (feed, hour, week)
);
