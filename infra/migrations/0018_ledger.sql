-- The ledger: what was sent on against what came, hop by hop, in readings.

-- By partition and edge, what the edge said that it had sent and what of it came; in the transaction of the windows.
CREATE TABLE ledger_sources (
  topic text NOT NULL,
  partition int NOT NULL,
  -- <edge id>/<spool id>
  edge text NOT NULL,
  -- When the edge's count began, epoch milliseconds: what follows is by that count, but for lost_before and missing.
  since bigint NOT NULL,
  -- Everything up to here came or is counted as missing.
  through bigint NOT NULL,
  -- Of the whole spool: refused messages, buried, dropped by its policy, lost in it.
  letters bigint NOT NULL,
  buried bigint NOT NULL,
  dropped bigint NOT NULL,
  lost bigint NOT NULL,
  lost_before bigint NOT NULL,
  -- Readings that never came, and the last stretches of them: {from, to, offset}.
  missing bigint NOT NULL,
  holes jsonb NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (topic, partition, edge)
) WITH (fillfactor = 50);

-- Counts that began before the ledger did are taken on where they are.
CREATE TABLE ledger (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  began_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO ledger DEFAULT VALUES;

-- Objects that the archive must hold.
CREATE TABLE archive_manifest (
  bucket text NOT NULL,
  key text COLLATE "C" NOT NULL,
  partition int NOT NULL,
  first_offset bigint NOT NULL,
  last_offset bigint NOT NULL,
  -- Null: from an archiver that did not count them.
  readings bigint,
  lines bigint NOT NULL,
  bytes bigint NOT NULL,
  stored_at timestamptz NOT NULL,
  -- When a listing first lacked it; null: it is there.
  missing_since timestamptz,
  PRIMARY KEY (bucket, key)
);
CREATE INDEX archive_manifest_stored ON archive_manifest (bucket, stored_at);
CREATE INDEX archive_manifest_missing ON archive_manifest (bucket, key) WHERE missing_since IS NOT NULL;

-- Losses that a person has taken note of; they are no residual any more.
CREATE TABLE ledger_acknowledged (
  loss text PRIMARY KEY,
  readings bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  by text NOT NULL
);
