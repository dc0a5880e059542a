-- +goose Up

-- A message may show the same of two spells: each is an exception of its own.
ALTER TABLE exception DROP CONSTRAINT exception_inbound_id_kind_key;
CREATE UNIQUE INDEX exception_once ON exception (inbound_id, kind, coalesce(spell_id, '00000000-0000-0000-0000-000000000000'));
