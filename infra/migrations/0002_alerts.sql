-- What the rules found, and where each rule stands with each series.

CREATE TABLE alerts (
  -- Made from rule, site, device, metric and started_at: evaluating the same readings again finds the same alert.
  id uuid PRIMARY KEY,
  rule text NOT NULL,
  site text NOT NULL,
  device text NOT NULL,
  metric text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  state text NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
  value double precision,
  threshold double precision,
  -- Event times.
  started_at timestamptz NOT NULL,
  fired_at timestamptz,
  resolved_at timestamptz,
  updated_at timestamptz NOT NULL,
  -- The value with which it fired: `value` is that of the last change.
  fired_value double precision,
  -- Outbox: whether the message of each change is confirmed on weir.alerts.
  firing_sent boolean NOT NULL DEFAULT false,
  resolved_sent boolean NOT NULL DEFAULT false,
  CHECK ((state = 'pending') = (fired_at IS NULL)),
  CHECK ((state = 'resolved') = (resolved_at IS NOT NULL))
);
-- A series has at most one open alert of a rule.
CREATE UNIQUE INDEX alerts_open ON alerts (rule, site, device, metric) WHERE state <> 'resolved';
CREATE INDEX alerts_changed ON alerts (updated_at DESC, id DESC);
CREATE INDEX alerts_unsent ON alerts (updated_at)
  WHERE (fired_at IS NOT NULL AND NOT firing_sent) OR (state = 'resolved' AND NOT resolved_sent);

CREATE TABLE alert_rule_state (
  rule text NOT NULL,
  site text NOT NULL,
  device text NOT NULL,
  metric text NOT NULL,
  phase text NOT NULL CHECK (phase IN ('ok', 'pending', 'firing')),
  -- Event time, epoch milliseconds, of the first reading that met the condition; null while ok.
  since_ms bigint,
  -- Event time, epoch milliseconds, of the newest reading that was evaluated; older ones are ignored.
  last_ts_ms bigint NOT NULL,
  PRIMARY KEY (rule, site, device, metric),
  CHECK ((phase = 'ok') = (since_ms IS NULL))
-- Rewritten with every batch of readings: room on the page keeps these updates out of the index.
) WITH (fillfactor = 60);
