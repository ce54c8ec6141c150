-- Alerts of rules of every kind: acknowledged by people, covered by the alert of a site, and told in their order.

-- One holder at a time evaluates and tells (the job alerter of the table maintenance).
ALTER TABLE alerts DROP CONSTRAINT alerts_state_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_state_check
  CHECK (state IN ('pending', 'firing', 'acknowledged', 'resolved'));
ALTER TABLE alerts
  ADD COLUMN kind text NOT NULL DEFAULT 'threshold',
  ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN acknowledged_at timestamptz,
  ADD COLUMN acknowledged_by text,
  -- The alert of the site that covers this one while it fires; it is not told then.
  ADD COLUMN suppressed_by uuid,
  -- Its firing stands in alert_transitions without being suppressed: its end must be told too.
  ADD COLUMN announced boolean NOT NULL DEFAULT false,
  -- Until then its firing waits for an alert of the site that may cover it; null: it does not wait.
  ADD COLUMN announce_at timestamptz;
UPDATE alerts SET announced = true WHERE fired_at IS NOT NULL;
CREATE INDEX alerts_waiting ON alerts (announce_at) WHERE announce_at IS NOT NULL;
CREATE INDEX alerts_covered ON alerts (suppressed_by) WHERE suppressed_by IS NOT NULL;
-- What fires at a site, for correlations.
CREATE INDEX alerts_of_rule ON alerts (rule, site) WHERE state IN ('firing', 'acknowledged');

-- Every change of an alert that somebody may want to hear of, in the order of the commits.
CREATE TABLE alert_transitions (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  alert_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('firing', 'acknowledged', 'resolved')),
  at timestamptz NOT NULL DEFAULT now(),
  -- As the API shows it, at this change.
  alert jsonb NOT NULL,
  -- Covered by the alert of a site: kept for the record, told to nobody.
  suppressed boolean NOT NULL,
  schema_version smallint NOT NULL DEFAULT 1
);
CREATE INDEX alert_transitions_alert ON alert_transitions (alert_id, seq);

ALTER TABLE alert_rule_state
  ADD COLUMN kind text NOT NULL DEFAULT 'threshold',
  -- What the kind of the rule needs to know of earlier readings.
  ADD COLUMN memory float8[];
