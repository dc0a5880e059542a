-- +goose Up

-- Whether a Task is due to anybody is asked whenever one is taken.
CREATE INDEX webhook_due_task ON webhook_due (task_id);

-- The stays of spells are forgotten whenever something is told of their people, while nobody else says any.
CREATE INDEX stay_spell ON stay (spell_id);
