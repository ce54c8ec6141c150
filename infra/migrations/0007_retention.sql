-- Retention of windows by dropping chunks, and a schema version in every row.

-- Who runs a maintenance job. Raised with every take-over; a job compares it in the transaction of each step, so a
-- holder that lost its lock without noticing changes nothing.
CREATE TABLE maintenance (
  job text PRIMARY KEY,
  token bigint NOT NULL,
  holder text NOT NULL,
  held_since timestamptz NOT NULL,
  succeeded_at timestamptz
);

-- Windows of a table that start before this are expired: dropped, or about to be.
CREATE TABLE retention (
  table_name text PRIMARY KEY,
  expired_before timestamptz NOT NULL,
  dropped_chunks bigint NOT NULL DEFAULT 0,
  dropped_bytes bigint NOT NULL DEFAULT 0,
  changed_at timestamptz NOT NULL
);

-- Rows that outlive their chunk: what a device that fell silent needs when it goes on where it stopped (the newest
-- pane gives its watermark, the children of windows within the allowed lateness their figures). A row of the level's
-- own table comes before one of these.
CREATE TABLE windows_kept (
  ts timestamptz NOT NULL,
  first_ts timestamptz NOT NULL,
  last_ts timestamptz NOT NULL,
  sum float8 NOT NULL,
  min float8 NOT NULL,
  max float8 NOT NULL,
  m2 float8 NOT NULL,
  first float8 NOT NULL,
  last float8 NOT NULL,
  p50 float8,
  p90 float8,
  p99 float8,
  series_id int NOT NULL,
  count int NOT NULL,
  -- Index among the levels; 0 is 1s.
  level smallint NOT NULL,
  revision smallint NOT NULL,
  schema_version smallint NOT NULL DEFAULT 1,
  sketch bytea,
  PRIMARY KEY (series_id, level, ts)
);

-- Whole hours, so that no window of any level lies in two chunks, and short enough for the default retention.
SELECT set_chunk_time_interval('windows_1s', INTERVAL '1 hour');
SELECT set_chunk_time_interval('windows_10s', INTERVAL '1 hour');
SELECT set_chunk_time_interval('windows_1m', INTERVAL '1 day');
SELECT set_chunk_time_interval('windows_5m', INTERVAL '5 days');

-- Transactions of a partition so far: one that moved no offset (windows of silent devices) is told from its repetition,
-- when the answer to its COMMIT was lost.
ALTER TABLE partition_offsets ADD COLUMN writes bigint NOT NULL DEFAULT 0;

-- The version of the form in which a row is stored. In a row of windows it takes the place of padding; old rows get
-- it without being rewritten.
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables
               WHERE schemaname = current_schema() AND tablename <> 'schema_migrations' LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN IF NOT EXISTS schema_version smallint NOT NULL DEFAULT 1', name);
  END LOOP;
END $$;
