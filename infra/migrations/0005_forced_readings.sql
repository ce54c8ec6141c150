-- Late readings that a replay of dead letters brought back: each counts once, for ever.

CREATE TABLE forced_readings (
  -- Of the reading: see libs/windows/src/forced.ts.
  identity uuid PRIMARY KEY,
  partition int NOT NULL,
  -- The record that brought it back, written in the transaction of its windows. Null in a fold of the archive only:
  -- buried by this fold, and not brought back yet.
  replay_offset bigint,
  series_id int,
  -- Its event time, and the index of the finest level whose row it changed: rows below had expired.
  ts timestamptz,
  finest smallint,
  counted_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX forced_readings_rounded ON forced_readings (series_id, ts) WHERE finest > 0;

-- Who sent dead letters again, which ones and why. Their records bear the id.
CREATE TABLE dead_letter_replays (
  id uuid PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now(),
  -- Null: still under way, or ended before its time; then sending all again is safe.
  finished_at timestamptz,
  by text NOT NULL,
  why text NOT NULL,
  -- The choice: reason, device, site, from, to, id.
  filter jsonb NOT NULL,
  letters bigint NOT NULL DEFAULT 0,
  readings bigint NOT NULL DEFAULT 0
);
CREATE INDEX dead_letter_replays_started ON dead_letter_replays (started_at DESC);

-- What was open at a moment of a device (`weir trace`), however many alerts there have been.
CREATE INDEX alerts_device ON alerts (site, device, started_at DESC);
