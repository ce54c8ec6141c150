-- The index of dead letters: one row for each, whichever broker it came from. The bytes lie in packs in the object store.

CREATE TABLE dead_letters (
  -- The letter's own id (x-dlq-id), else one made of its place or its bytes: arriving again, it is the same letter.
  id text PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 200),
  -- Order of indexing; letters of one device keep the order in which they were buried.
  seq bigint GENERATED ALWAYS AS IDENTITY,
  reason text NOT NULL,
  stage text NOT NULL,
  -- Empty when it is not known.
  site text NOT NULL,
  device text NOT NULL,
  fingerprint text NOT NULL,
  error_class text NOT NULL,
  error_message text NOT NULL,
  origin_system text NOT NULL CHECK (origin_system IN ('mqtt', 'http', 'kafka', 'rabbitmq')),
  -- Topic, path or queue that the bytes came from.
  origin text NOT NULL,
  -- Where the indexer found it: <topic>/<partition>/<offset>, or a queue.
  found_in text NOT NULL,
  first_failed_at timestamptz NOT NULL,
  last_failed_at timestamptz NOT NULL,
  original_ts timestamptz NOT NULL,
  arrived_at timestamptz NOT NULL DEFAULT now(),
  retryable boolean NOT NULL,
  -- Indexes among the readings of the line; null when the letter is about all of it.
  readings int[],
  -- How often it was sent again, and with which count it came back last.
  replay_count int NOT NULL DEFAULT 0,
  returned_count int NOT NULL DEFAULT 0,
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'parked', 'replayed', 'purged')),
  -- Who gave it its status and why; null for one that nobody has touched.
  status_at timestamptz,
  status_by text,
  status_why text,
  key bytea,
  -- As they came; a value that is no text is {"base64": …}.
  headers jsonb NOT NULL,
  -- Of a message of RabbitMQ: contentType, messageId.
  properties jsonb NOT NULL,
  -- The bytes: object null when there are none (length 0), or none any more (bytes_removed_at).
  object text,
  object_offset bigint NOT NULL DEFAULT 0,
  length int NOT NULL,
  sha256 bytea NOT NULL,
  content text NOT NULL CHECK (content IN ('json', 'lines', 'text', 'binary', 'empty')),
  bytes_removed_at timestamptz,
  schema_version smallint NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX dead_letters_seq ON dead_letters (seq);
CREATE INDEX dead_letters_status ON dead_letters (status, seq);
CREATE INDEX dead_letters_reason ON dead_letters (reason, seq);
CREATE INDEX dead_letters_fingerprint ON dead_letters (fingerprint, seq);
CREATE INDEX dead_letters_device ON dead_letters (device, seq);
CREATE INDEX dead_letters_failed ON dead_letters (last_failed_at);
CREATE INDEX dead_letters_object ON dead_letters (object) WHERE object IS NOT NULL;
CREATE INDEX dead_letters_doomed ON dead_letters (object) WHERE status = 'purged' AND object IS NOT NULL;
CREATE INDEX dead_letters_waiting ON dead_letters (origin_system, reason, first_failed_at) WHERE status = 'open';

-- Letters of RabbitMQ without an id of their own, from their row until their acknowledgement is known to have arrived:
-- only by this is a delivery that comes again told from another message with the same bytes.
CREATE TABLE dead_letter_unsettled (
  id text PRIMARY KEY,
  queue text NOT NULL,
  -- Equal for messages that nothing tells apart.
  likeness text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letter_unsettled_likeness ON dead_letter_unsettled (queue, likeness);

-- Bytes that people made of a letter's; the letter's own never change. The highest number is the one that is sent.
CREATE TABLE dead_letter_edits (
  letter text NOT NULL REFERENCES dead_letters (id) ON DELETE CASCADE,
  number int NOT NULL CHECK (number >= 1),
  at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL,
  why text NOT NULL,
  -- RFC 6902, as it was asked for, and from the bytes before to these.
  patch jsonb NOT NULL,
  difference jsonb NOT NULL,
  bytes bytea NOT NULL,
  schema_version smallint NOT NULL DEFAULT 1,
  PRIMARY KEY (letter, number)
);

-- What was done to a letter, and the row of the audit trail that says by whom and why. It outlives the letter.
CREATE TABLE dead_letter_history (
  letter text NOT NULL,
  audit bigint NOT NULL,
  -- What is this letter's own: the status before, the number of the edit, the task of a replay.
  detail jsonb,
  PRIMARY KEY (letter, audit)
);
CREATE INDEX dead_letter_history_audit ON dead_letter_history (audit);

-- Requests with an Idempotency-Key and what was answered: asked again, the same is answered and nothing done.
CREATE TABLE idempotency_keys (
  scope text NOT NULL,
  key text NOT NULL,
  -- Of the request; another request with the same key is refused.
  fingerprint text NOT NULL,
  answer jsonb,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);
