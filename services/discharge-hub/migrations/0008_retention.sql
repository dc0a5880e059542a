-- +goose Up

-- By age, for forgetting what is past its time.
CREATE INDEX fhir_answer_at ON fhir_answer (at);

-- When the Task that the attempt was at, in this version or a newer one, was taken; null while the client has not taken it.
ALTER TABLE webhook_attempt ADD COLUMN taken_at timestamptz;
UPDATE webhook_attempt a SET taken_at = (
    SELECT min(b.at) FROM webhook_attempt b WHERE b.task_id = a.task_id AND b.client = a.client AND b.version >= a.version AND b.error = '');
CREATE INDEX webhook_attempt_taken ON webhook_attempt (taken_at) WHERE taken_at IS NOT NULL;

-- What a receiver said may name a person, so attempts to answer wards are forgotten too.
CREATE INDEX answer_attempt_at ON answer_attempt (at);
