-- Replays of dead letters: a task, and what becomes of each letter that it chose.

CREATE TABLE replay_tasks (
  id uuid PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL,
  why text NOT NULL,
  -- The reason whose policy made the task; null: a person did.
  policy text,
  selection jsonb NOT NULL,
  -- Letters a second, at most.
  rate int NOT NULL CHECK (rate BETWEEN 1 AND 1000000),
  -- A letter that was sent so often is parked instead.
  max_replays int NOT NULL CHECK (max_replays >= 1),
  -- Goes on by itself when it is planned; false: waits for somebody to resume it.
  starts boolean NOT NULL,
  state text NOT NULL CHECK (state IN ('planning', 'planned', 'running', 'paused', 'done', 'cancelled', 'failed')),
  state_at timestamptz NOT NULL DEFAULT now(),
  state_by text NOT NULL,
  state_why text NOT NULL,
  -- Of a paused task: it goes on by itself when the destination has caught up, or somebody has to resume it.
  pause_cause text CHECK (pause_cause IN ('person', 'lag', 'returns')),
  -- What was found before anything was sent.
  plan jsonb,
  started_at timestamptz,
  finished_at timestamptz,
  -- Letters by what became of them; changed in the transaction of their items.
  sent int NOT NULL DEFAULT 0,
  -- Of those: sent once more, because the worker died before it knew that they had arrived.
  resent int NOT NULL DEFAULT 0,
  skipped int NOT NULL DEFAULT 0,
  parked int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0,
  -- Letters that had come back when somebody resumed it last.
  returns_seen int NOT NULL DEFAULT 0,
  -- The row of the audit trail that says who began it.
  audit bigint,
  schema_version smallint NOT NULL DEFAULT 1
);
CREATE INDEX replay_tasks_created ON replay_tasks (created_at DESC, id);
CREATE INDEX replay_tasks_active ON replay_tasks (state) WHERE state IN ('planning', 'planned', 'running', 'paused');
-- One task of a policy at a time.
CREATE UNIQUE INDEX replay_tasks_policy ON replay_tasks (policy)
  WHERE policy IS NOT NULL AND state IN ('planning', 'planned', 'running', 'paused');

CREATE TABLE replay_items (
  task uuid NOT NULL REFERENCES replay_tasks (id) ON DELETE CASCADE,
  -- Order of sending.
  position int NOT NULL,
  letter text NOT NULL,
  -- Topic or queue; null for a letter that has none.
  destination text,
  -- sending: it may have been sent. The same letter with the same count is sent again when nobody knows.
  state text NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'skipped', 'parked', 'failed')),
  why text,
  -- The replay count that it bears, from `sending` on.
  replay_count int,
  sent_at timestamptz,
  schema_version smallint NOT NULL DEFAULT 1,
  PRIMARY KEY (task, position)
) WITH (fillfactor = 80);
CREATE INDEX replay_items_open ON replay_items (task, position) WHERE state IN ('waiting', 'sending');
CREATE INDEX replay_items_letter ON replay_items (letter);

-- Replays of late readings were kept apart before.
INSERT INTO replay_tasks (id, created_at, by, why, selection, rate, max_replays, starts, state, state_at, state_by,
                          state_why, started_at, finished_at, sent)
SELECT id, started_at, by, why, filter, 1000000, 1000000, true,
       CASE WHEN finished_at IS NULL THEN 'cancelled' ELSE 'done' END, coalesce(finished_at, started_at), by,
       CASE WHEN finished_at IS NULL THEN 'ended before its time' ELSE 'every letter was sent' END,
       started_at, finished_at, letters
  FROM dead_letter_replays;
DROP TABLE dead_letter_replays;

-- The few letters that came back, for the tasks that sent them.
CREATE INDEX dead_letters_returned ON dead_letters (id) WHERE returned_count > 0;
