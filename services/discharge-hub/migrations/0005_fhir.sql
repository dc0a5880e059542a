-- +goose Up

-- The newest version of each resource that was written at the FHIR door, as it was sent.
CREATE TABLE fhir_resource (
    type       text NOT NULL,
    id         uuid NOT NULL,
    provider   text NOT NULL,
    version    bigint NOT NULL,     -- 0 only within the transaction that makes it
    updated_at timestamptz NOT NULL,
    body       text NOT NULL,       -- JSON
    PRIMARY KEY (type, id)
);

-- What each request was answered, so that the same request again gets the same answer and has no second effect.
CREATE TABLE fhir_answer (
    client     text NOT NULL,
    request_id text NOT NULL,       -- X-Request-ID
    digest     bytea NOT NULL,      -- SHA-256 of method, target and body
    at         timestamptz NOT NULL,
    status     integer NOT NULL DEFAULT 0,
    location   text NOT NULL DEFAULT '',
    etag       text NOT NULL DEFAULT '',
    body       text NOT NULL DEFAULT '',
    PRIMARY KEY (client, request_id)
);

-- The Task of each spell of a provider that has a client: where the handover stands (fhir.Handover), and a version for each change of that.
CREATE TABLE fhir_task (
    task_id      uuid PRIMARY KEY,
    spell_id     uuid NOT NULL,
    provider     text NOT NULL,
    reference    text NOT NULL,
    visit_number text NOT NULL,     -- empty when there is none
    created_at   timestamptz NOT NULL,
    version      bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    status       text NOT NULL,
    owner        text NOT NULL,     -- team; empty when nobody has it
    handover     text NOT NULL      -- JSON
);
CREATE INDEX fhir_task_updated ON fhir_task (provider, updated_at, task_id);
CREATE INDEX fhir_task_reference ON fhir_task (reference);
CREATE INDEX fhir_task_visit ON fhir_task (provider, visit_number);

-- The Tasks whose newest version is still to be posted to a client.
CREATE TABLE webhook_due (
    client     text NOT NULL,
    task_id    uuid NOT NULL,
    version    bigint NOT NULL,
    since      timestamptz NOT NULL, -- when the client last had everything
    attempts   integer NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL,
    PRIMARY KEY (client, task_id)
);
CREATE INDEX webhook_due_next ON webhook_due (client, next_at);

-- Every attempt to post a Task, from when it is begun.
CREATE TABLE webhook_attempt (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client  text NOT NULL,
    task_id uuid NOT NULL,
    version bigint NOT NULL,
    at      timestamptz NOT NULL,
    status  integer NOT NULL,       -- HTTP; 0 when there was no answer
    error   text NOT NULL           -- empty when it was taken
);
CREATE INDEX webhook_attempt_task ON webhook_attempt (task_id, id);

-- The assertions by which clients signed in: each is good once.
CREATE TABLE client_assertion (
    client     text NOT NULL,
    jti        text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client, jti)
);
CREATE INDEX client_assertion_expires ON client_assertion (expires_at);
