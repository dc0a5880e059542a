-- +goose Up

-- Numbers of processes that claim what they are about to send. An advisory lock of its number says that a process lives.
CREATE SEQUENCE claimant AS integer CYCLE;

-- The process that is sending it; null while none is.
ALTER TABLE answer ADD COLUMN claimed_by integer;
CREATE INDEX answer_claimed ON answer (feed, next_try, id) WHERE accepted_at IS NULL AND claimed_by IS NOT NULL;
ALTER TABLE webhook_due ADD COLUMN claimed_by integer;
CREATE INDEX webhook_due_claimed ON webhook_due (client, next_at) WHERE claimed_by IS NOT NULL;

-- Whether an earlier answer of the same spell waits, and what is due first, each by one look.
CREATE INDEX answer_of_spell ON answer (spell_id, feed, id) WHERE accepted_at IS NULL;
DROP INDEX webhook_due_next;
CREATE INDEX webhook_due_next ON webhook_due (client, next_at, task_id);
