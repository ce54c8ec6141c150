-- Series, their windows at six levels, and where each partition of the log stands.

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE series (
  series_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site text NOT NULL,
  device text NOT NULL,
  metric text NOT NULL,
  unit text,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (site, device, metric)
);
-- Queries name a device, not always its site.
CREATE INDEX series_device ON series (device, metric);

-- One row for each window that has a reading. Times of rows and readings are event times; first and last go by them.
CREATE TABLE windows_1s (
  ts timestamptz NOT NULL,
  first_ts timestamptz NOT NULL,
  last_ts timestamptz NOT NULL,
  sum float8 NOT NULL,
  min float8 NOT NULL,
  max float8 NOT NULL,
  -- Sum of squared distances from the mean: stddev = sqrt(m2 / (count - 1)).
  m2 float8 NOT NULL,
  first float8 NOT NULL,
  last float8 NOT NULL,
  series_id int NOT NULL,
  count int NOT NULL,
  -- How often the row was rewritten.
  revision smallint NOT NULL DEFAULT 0,
  -- DDSketch (libs/windows/src/sketch.ts); null for one or two readings, which are min and max.
  sketch bytea
);
-- Rows of 100 to 130 bytes in two indexes would cost more than the table: one unique index serves both the merge of
-- late readings and every query.
CREATE UNIQUE INDEX windows_1s_key ON windows_1s (series_id, ts);
SELECT create_hypertable('windows_1s', by_range('ts', INTERVAL '6 hours'), create_default_indexes => false);

CREATE TABLE windows_10s (
  ts timestamptz NOT NULL,
  first_ts timestamptz NOT NULL,
  last_ts timestamptz NOT NULL,
  sum float8 NOT NULL,
  min float8 NOT NULL,
  max float8 NOT NULL,
  m2 float8 NOT NULL,
  first float8 NOT NULL,
  last float8 NOT NULL,
  -- Within 1 % of the exact quantile, from the sketch.
  p50 float8 NOT NULL,
  p90 float8 NOT NULL,
  p99 float8 NOT NULL,
  series_id int NOT NULL,
  count int NOT NULL,
  revision smallint NOT NULL DEFAULT 0,
  sketch bytea
);
CREATE TABLE windows_1m (LIKE windows_10s INCLUDING ALL);
CREATE TABLE windows_5m (LIKE windows_10s INCLUDING ALL);
CREATE TABLE windows_15m (LIKE windows_10s INCLUDING ALL);
CREATE TABLE windows_1h (LIKE windows_10s INCLUDING ALL);
CREATE UNIQUE INDEX windows_10s_key ON windows_10s (series_id, ts);
CREATE UNIQUE INDEX windows_1m_key ON windows_1m (series_id, ts);
CREATE UNIQUE INDEX windows_5m_key ON windows_5m (series_id, ts);
CREATE UNIQUE INDEX windows_15m_key ON windows_15m (series_id, ts);
CREATE UNIQUE INDEX windows_1h_key ON windows_1h (series_id, ts);
SELECT create_hypertable('windows_10s', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('windows_1m', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);
SELECT create_hypertable('windows_5m', by_range('ts', INTERVAL '30 days'), create_default_indexes => false);
SELECT create_hypertable('windows_15m', by_range('ts', INTERVAL '30 days'), create_default_indexes => false);
SELECT create_hypertable('windows_1h', by_range('ts', INTERVAL '90 days'), create_default_indexes => false);

-- Written in the transaction of the rows; the compare-and-set on (epoch, next_offset) keeps a replaced owner out.
CREATE TABLE partition_offsets (
  topic text NOT NULL,
  partition int NOT NULL,
  -- First offset that is not in the windows.
  next_offset bigint NOT NULL,
  -- Where the log must be read from to know again which readings are repetitions.
  replay_offset bigint NOT NULL,
  epoch bigint NOT NULL,
  owner text NOT NULL,
  -- Edge -> highest spool position in the windows.
  sources jsonb NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
