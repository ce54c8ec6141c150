-- Roll-ups: the windows of many devices added up. Each partition keeps the part that its own devices make, so that it
-- follows from the partition's log alone; whoever reads adds at most as many parts as there are partitions.

CREATE TABLE rollups (
  rollup_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  partition int NOT NULL,
  -- Fingerprint of what decides who belongs to which group (libs/windows/src/rollup-groups.ts).
  definition text NOT NULL,
  -- fleet, or the names of what members have in common, joined by +: site, line, site+line
  grouped_by text NOT NULL,
  -- fleet, site=plant-1, site=plant-1/line=a
  name text NOT NULL,
  metric text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (definition, name, metric, partition)
);

-- The definitions that a partition's roll-ups follow, and from where on they have seen every device row: only windows
-- that start later have rows.
CREATE TABLE rollup_scopes (
  partition int NOT NULL,
  definition text NOT NULL,
  since timestamptz NOT NULL,
  PRIMARY KEY (partition, definition)
);

CREATE TABLE rollups_10s (
  ts timestamptz NOT NULL,
  first_ts timestamptz NOT NULL,
  last_ts timestamptz NOT NULL,
  min float8 NOT NULL,
  max float8 NOT NULL,
  first float8 NOT NULL,
  last float8 NOT NULL,
  -- Readings.
  count bigint NOT NULL,
  rollup_id int NOT NULL,
  -- Device rows.
  devices int NOT NULL,
  -- Exact: the real sum of these floats is the sum of the device rows' sums; the first one is that sum, rounded.
  sum float8[] NOT NULL,
  -- Exact likewise: the sum of m2 + sum²/count of the device rows.
  moment float8[] NOT NULL,
  -- site/device
  first_device text NOT NULL,
  last_device text NOT NULL,
  sketch bytea NOT NULL
);
CREATE TABLE rollups_1m (LIKE rollups_10s INCLUDING ALL);
CREATE TABLE rollups_5m (LIKE rollups_10s INCLUDING ALL);
CREATE TABLE rollups_15m (LIKE rollups_10s INCLUDING ALL);
CREATE TABLE rollups_1h (LIKE rollups_10s INCLUDING ALL);
CREATE UNIQUE INDEX rollups_10s_key ON rollups_10s (rollup_id, ts);
CREATE UNIQUE INDEX rollups_1m_key ON rollups_1m (rollup_id, ts);
CREATE UNIQUE INDEX rollups_5m_key ON rollups_5m (rollup_id, ts);
CREATE UNIQUE INDEX rollups_15m_key ON rollups_15m (rollup_id, ts);
CREATE UNIQUE INDEX rollups_1h_key ON rollups_1h (rollup_id, ts);
SELECT create_hypertable('rollups_10s', by_range('ts', INTERVAL '1 hour'), create_default_indexes => false);
SELECT create_hypertable('rollups_1m', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('rollups_5m', by_range('ts', INTERVAL '5 days'), create_default_indexes => false);
SELECT create_hypertable('rollups_15m', by_range('ts', INTERVAL '30 days'), create_default_indexes => false);
SELECT create_hypertable('rollups_1h', by_range('ts', INTERVAL '90 days'), create_default_indexes => false);

-- The definitions of derived metrics that a partition's readings follow, each from an offset of its log on: windows are
-- a function of the log and of these.
CREATE TABLE derivations (
  partition int NOT NULL,
  since_offset bigint NOT NULL,
  -- Array of {metric, expression, unit, match}, in order; empty: none.
  metrics jsonb NOT NULL,
  PRIMARY KEY (partition, since_offset)
);
