-- The ledger's running numbers of windows and dead letters, each moved together with what it counts.

-- What became of the readings that came into the windows; in the transaction of the windows.
CREATE TABLE ledger_outcomes (
  topic text NOT NULL,
  partition int NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  -- Also those that follow from others of their message (derived metrics).
  stored bigint NOT NULL,
  duplicates bigint NOT NULL,
  -- Now dead letters: readings that were late, and lines that cannot be read.
  dead_lettered bigint NOT NULL,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Dead letters in the index, by where they were found.
CREATE TABLE ledger_letters (
  -- The topic, or the queue.
  origin text NOT NULL,
  -- 0 of a queue.
  partition int NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  taken bigint NOT NULL,
  -- Of a topic: everything below is in the index or counted as missing, and how many are. Null and 0 of a queue.
  next_offset bigint,
  missing bigint NOT NULL,
  PRIMARY KEY (origin, partition)
) WITH (fillfactor = 50);
