-- +goose Up

-- By spell first, in the order of its messages: a fold reads all facts of a spell, and nothing may read all facts for those of one.
ALTER TABLE fact DROP CONSTRAINT fact_pkey, ADD PRIMARY KEY (spell_id, inbound_id);
DROP INDEX fact_spell;
CREATE INDEX fact_inbound ON fact (inbound_id);
