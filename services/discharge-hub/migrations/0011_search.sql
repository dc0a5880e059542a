-- +goose Up

-- What each resource that was written at the FHIR door is found by, besides its id: its own identifiers, and the Patient to whom it refers.
CREATE TABLE fhir_token (
    type  text NOT NULL,
    id    uuid NOT NULL,
    name  text NOT NULL,            -- of the search parameter
    token text NOT NULL,            -- <system>|<value> of an identifier, the id of a Patient
    PRIMARY KEY (token, name, type, id) -- the token first: it is looked up by nothing less, also before the table was first analyzed
);
CREATE INDEX fhir_token_of ON fhir_token (id, type);

-- Resources from before this table. One that PostgreSQL cannot take apart is found when it is sent again.
-- +goose StatementBegin
DO $$
DECLARE r record;
BEGIN
    FOR r IN SELECT type, id, body FROM fhir_resource WHERE version > 0 LOOP
        BEGIN
            INSERT INTO fhir_token (type, id, name, token)
            SELECT r.type, r.id, 'identifier', t.system || '|' || CASE t.system WHEN 'https://fhir.nhs.uk/Id/nhs-number' THEN translate(t.value, ' -', '') ELSE t.value END
            FROM (SELECT coalesce(trim(i->>'system'), '') AS system, trim(i->>'value') AS value FROM json_array_elements(r.body::json->'identifier') i) t
            WHERE t.value <> '' AND length(t.system) + length(t.value) < 600
            UNION
            SELECT r.type, r.id, 'patient', lower(substring(r.body::json->'subject'->>'reference' FROM '(?:^|/)Patient/([0-9A-Fa-f-]{36})$'))
            WHERE r.body::json->'subject'->>'reference' ~ '(?:^|/)Patient/[0-9A-Fa-f-]{36}$'
            ON CONFLICT DO NOTHING;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            NULL;
        END;
    END LOOP;
END $$;
-- +goose StatementEnd

-- A feed's messages of some time, for reading them by another mapping.
CREATE INDEX inbound_feed ON inbound (feed, received_at, id);

-- When the answer that the attempt was at was accepted; null while it is not. What nobody accepts is not looked at again.
ALTER TABLE answer_attempt ADD COLUMN accepted_at timestamptz;
UPDATE answer_attempt t SET accepted_at = a.accepted_at FROM answer a WHERE a.id = t.answer_id AND a.accepted_at IS NOT NULL;
DROP INDEX answer_attempt_at;
CREATE INDEX answer_attempt_accepted ON answer_attempt (accepted_at) WHERE accepted_at IS NOT NULL;

-- Attempts at what is due to nobody any more, because the client is gone, are over like those that were taken.
UPDATE webhook_attempt a SET taken_at = at WHERE taken_at IS NULL AND NOT EXISTS (SELECT FROM webhook_due d WHERE d.client = a.client AND d.task_id = a.task_id);
