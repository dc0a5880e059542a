-- +goose Up

-- One row for each spell whose light-touch assessment was requested. Answers are codes by question.
CREATE TABLE assessment (
    spell_id        uuid PRIMARY KEY,
    status          text NOT NULL CHECK (status IN ('requested', 'complete', 'declined-by-person', 'superseded')),
    question_set    text NOT NULL,
    answers         jsonb NOT NULL,
    decision        text NOT NULL CHECK (decision IN ('', 'safe', 'safe-with-conditions', 'not-yet-safe', 'needs-hub-mdt')),
    requested_at    timestamptz NOT NULL,
    completed_at    timestamptz,
    left_with_unmet integer NOT NULL CHECK (left_with_unmet >= 0),
    CHECK ((status = 'complete') = (completed_at IS NOT NULL)),
    CHECK ((status = 'complete') = (decision <> ''))
);

-- The conditions of a complete assessment, in the assessor's order.
CREATE TABLE assessment_condition (
    id       uuid PRIMARY KEY,
    spell_id uuid NOT NULL REFERENCES assessment,
    position integer NOT NULL,
    code     text NOT NULL,
    owner    text NOT NULL,
    due      text NOT NULL CHECK (due IN ('before-leaving', 'within-24-hours', 'within-72-hours')),
    met_at   timestamptz,
    UNIQUE (spell_id, code)
);
