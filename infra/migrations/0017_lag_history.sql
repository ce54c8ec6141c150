-- What the lag monitor measured, one row for a group or queue at a time.
CREATE TABLE lag_history (
  at timestamptz NOT NULL,
  system text NOT NULL CHECK (system IN ('kafka', 'rabbitmq')),
  -- Name of the consumer group, or of the queue.
  name text NOT NULL,
  verdict text NOT NULL CHECK (verdict IN ('OK', 'WARN', 'ERR', 'STOP', 'STALL', 'REWIND', 'UNKNOWN')),
  -- Number of the rule that led to the verdict.
  rule smallint NOT NULL,
  consumers int,
  -- Records or messages that wait; null: unknown, as everything below.
  lag bigint,
  time_lag_ms float8,
  in_rate float8,
  out_rate float8,
  schema_version smallint NOT NULL DEFAULT 1
);
SELECT create_hypertable('lag_history', 'at', chunk_time_interval => INTERVAL '1 day');
CREATE INDEX lag_history_name ON lag_history (system, name, at DESC);
