-- +goose Up

-- Whether a Task is due to anybody is asked whenever one is taken.
CREATE INDEX webhook_due_task ON webhook_due (task_id);
