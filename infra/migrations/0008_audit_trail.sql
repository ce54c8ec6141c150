-- Who changed what by hand, when and why: alert rules, acknowledgements, silences, dead letters. Rows are only added.

CREATE TABLE audit_trail (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Written in the transaction of the change itself.
  at timestamptz NOT NULL DEFAULT now(),
  actor text NOT NULL,
  -- <noun>.<verb>: alert.acknowledge, alert-rule.update, silence.create
  action text NOT NULL,
  -- What was changed, in words that the noun's own commands take: the id of an alert, the name of a rule.
  subject text NOT NULL,
  why text NOT NULL,
  -- The thing as it was and as it became; null where there was none, or is none now.
  before jsonb,
  after jsonb,
  schema_version smallint NOT NULL DEFAULT 1
);
CREATE INDEX audit_trail_subject ON audit_trail (subject, id DESC);
CREATE INDEX audit_trail_action ON audit_trail (action, id DESC);
