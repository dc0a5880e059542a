-- +goose Up

-- What a message tells of a person and not of one spell, once under each patient number that it names (discharge.Fact). Append-only.
CREATE TABLE person_fact (
    patient    text NOT NULL,      -- as fact_patient has it
    inbound_id bigint NOT NULL,
    part       integer NOT NULL,   -- a message may merge several people
    fact       text NOT NULL,      -- JSON
    PRIMARY KEY (patient, inbound_id, part)
);
CREATE INDEX person_fact_inbound ON person_fact (inbound_id);

-- The messages about people that wait to be told to the people's spells.
CREATE TABLE person_pending (
    inbound_id bigint PRIMARY KEY
);

-- One message may be about two spells: beds that are swapped, visits that are moved.
ALTER TABLE fact DROP CONSTRAINT fact_pkey, ADD PRIMARY KEY (inbound_id, spell_id);

-- Whose a fact of a spell is: provider and patient number, both as they stand in the JSON, so that what is stored already is found too. A
-- number with a quotation mark in it counts up to there, and an index takes no text of any length: who looks people up gets a few others too.
CREATE FUNCTION fact_patient(fact text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(split_part(split_part(fact, '"provider":"', 2), '"', 1) || '|' || nullif(split_part(split_part(fact, '"patient_number":"', 2), '"', 1), ''), 200)
$$;
CREATE INDEX fact_of_patient ON fact (fact_patient(fact));
