-- +goose Up

-- Of an Encounter: a discharge was told by it and not taken back, whatever its newest version says: a message may have brought an older status since.
ALTER TABLE fhir_resource ADD COLUMN discharged boolean NOT NULL DEFAULT false;
