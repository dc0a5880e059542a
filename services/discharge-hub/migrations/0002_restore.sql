-- +goose Up

-- The spells that consumers knew better than the restored database. Until the hospitals have sent again what was lost, the snapshot that was
-- taken over stands.
CREATE TABLE held_spell (
    spell_id uuid PRIMARY KEY,
    since    bigint NOT NULL   -- the newest message of the restored database: facts of later ones have come since
);

-- An exception that a restore opened has no message.
ALTER TABLE exception ALTER inbound_id DROP NOT NULL;
