-- Who is told of alerts and what became of it; what people change about alerts at run time.

-- What becomes of telling one notifier of one change of an alert.
CREATE TABLE alert_deliveries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  seq bigint NOT NULL REFERENCES alert_transitions ON DELETE CASCADE,
  alert_id uuid NOT NULL,
  notifier text NOT NULL,
  change text NOT NULL CHECK (change IN ('firing', 'acknowledged', 'resolved')),
  -- 0: the change itself; n: the n-th reminder that it still fires.
  repeat int NOT NULL DEFAULT 0,
  -- queued: to be sent. held: kept back while a silence or a maintenance window lasts. sent: the receiver took it.
  -- dropped: nobody is told of it any more. failed: the receiver never took it.
  state text NOT NULL CHECK (state IN ('queued', 'held', 'sent', 'dropped', 'failed')),
  -- held, dropped: suppressed, silenced, maintenance, acknowledged, unannounced; failed: refused, expired, removed
  reason text,
  -- The silence, the window or the alert that the reason speaks of.
  cause text,
  -- Changes with equal groups may share a message; null: each has its own.
  group_key text,
  -- Given before the first attempt and kept for all of them: a receiver that honours it takes the message once.
  message text,
  -- Attempts begun.
  attempts int NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL,
  last_error text,
  settled_at timestamptz,
  schema_version smallint NOT NULL DEFAULT 1,
  UNIQUE (seq, notifier, repeat)
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (notifier, next_at, id) WHERE state = 'queued';
CREATE INDEX alert_deliveries_held ON alert_deliveries (notifier) WHERE state = 'held';
CREATE INDEX alert_deliveries_alert ON alert_deliveries (alert_id, notifier, id);
CREATE INDEX alert_deliveries_message ON alert_deliveries (notifier, message) WHERE state = 'queued';

-- Changes up to this one have their deliveries.
CREATE TABLE alert_deliveries_planned (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq bigint NOT NULL,
  schema_version smallint NOT NULL DEFAULT 1
);
INSERT INTO alert_deliveries_planned (seq) SELECT coalesce(max(seq), 0) FROM alert_transitions;

-- The outbox is alert_deliveries now; what the old one still held is told through it.
CREATE FUNCTION pg_temp.instant(timestamptz) RETURNS text LANGUAGE sql AS
  $$ SELECT to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;
INSERT INTO alert_transitions (alert_id, state, alert, suppressed)
SELECT id, change, jsonb_build_object(
         'id', id, 'rule', rule, 'kind', kind, 'site', site, 'device', device, 'metric', metric,
         'severity', severity, 'labels', labels, 'state', change,
         'value', CASE change WHEN 'firing' THEN fired_value ELSE value END, 'threshold', threshold,
         'startedAt', pg_temp.instant(started_at), 'firedAt', pg_temp.instant(fired_at),
         'acknowledgedAt', NULL, 'acknowledgedBy', NULL, 'suppressedBy', NULL,
         'resolvedAt', CASE change WHEN 'resolved' THEN pg_temp.instant(resolved_at) END,
         'updatedAt', pg_temp.instant(updated_at)), false
  FROM alerts, unnest(ARRAY['firing', 'resolved']) WITH ORDINALITY AS c (change, n)
 WHERE (change = 'firing' AND fired_at IS NOT NULL AND NOT firing_sent)
    OR (change = 'resolved' AND state = 'resolved' AND NOT resolved_sent)
 ORDER BY updated_at, id, n;
DROP INDEX alerts_unsent;
ALTER TABLE alerts DROP COLUMN firing_sent, DROP COLUMN resolved_sent;

-- How the notifiers are doing, as the alerter last saw it.
CREATE TABLE notifier_health (
  notifier text PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('healthy', 'failing', 'open')),
  last_sent_at timestamptz,
  last_error text,
  last_error_at timestamptz,
  schema_version smallint NOT NULL DEFAULT 1
);

-- Test alerts that somebody asks for, and what came back.
CREATE TABLE notifier_tests (
  id uuid PRIMARY KEY,
  notifier text NOT NULL,
  by text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT now(),
  answered_at timestamptz,
  ok boolean,
  said text,
  took_ms float8,
  schema_version smallint NOT NULL DEFAULT 1
);
CREATE INDEX notifier_tests_open ON notifier_tests (asked_at) WHERE answered_at IS NULL;

CREATE TABLE silences (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- [{name, op, value}]; an alert that fits all of them is silenced.
  matchers jsonb NOT NULL,
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  by text NOT NULL,
  why text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  schema_version smallint NOT NULL DEFAULT 1,
  CHECK (starts_at <= ends_at)
);
CREATE INDEX silences_ends ON silences (ends_at DESC, id DESC);

-- Rules and windows that were made through the API, as they were written. They stand in for those of the
-- configuration with the same id.
CREATE SEQUENCE alert_rules_version;
CREATE TABLE alert_rules (
  id text PRIMARY KEY,
  rule jsonb NOT NULL,
  enabled boolean NOT NULL,
  -- Never used twice, so that an ETag of a rule that was deleted fits no later one.
  version bigint NOT NULL DEFAULT nextval('alert_rules_version'),
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL,
  schema_version smallint NOT NULL DEFAULT 1
);
CREATE TABLE maintenance_windows (
  id text PRIMARY KEY,
  -- {site, device, cron, for, zone}
  definition jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  schema_version smallint NOT NULL DEFAULT 1
);

-- Raised with every change of rules, silences and windows: the alerter looks at this row alone.
CREATE TABLE alerting_version (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint NOT NULL,
  schema_version smallint NOT NULL DEFAULT 1
);
INSERT INTO alerting_version (version) VALUES (1);
CREATE FUNCTION raise_alerting_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE alerting_version SET version = version + 1;
  RETURN NULL;
END $$;
CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON alert_rules
  FOR EACH STATEMENT EXECUTE FUNCTION raise_alerting_version();
CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON silences
  FOR EACH STATEMENT EXECUTE FUNCTION raise_alerting_version();
CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON maintenance_windows
  FOR EACH STATEMENT EXECUTE FUNCTION raise_alerting_version();
