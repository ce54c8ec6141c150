-- Commands to devices: what was asked for, by whom, and what became of it.
CREATE TABLE commands (
  id uuid PRIMARY KEY,
  site text NOT NULL,
  device text NOT NULL,
  name text NOT NULL,
  payload jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL,
  -- After this it is not handed to the device any more.
  deadline timestamptz NOT NULL,
  -- queued: not taken by RabbitMQ yet. sent: it was. delivered: written to the device's connection.
  state text NOT NULL DEFAULT 'queued'
    CHECK (state IN ('queued', 'sent', 'delivered', 'acknowledged', 'failed', 'expired')),
  sent_at timestamptz,
  delivered_at timestamptz,
  delivered_by text,
  -- The device's own answer. One that comes after the deadline is kept, and the state stays expired.
  answered_at timestamptz,
  answer jsonb,
  finished_at timestamptz,
  -- Publishes tried, why the last one reached nobody, and when the next one is due.
  attempts int NOT NULL DEFAULT 0,
  problem text,
  next_attempt_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX commands_due ON commands (next_attempt_at) WHERE state IN ('queued', 'sent');
CREATE INDEX commands_open ON commands (deadline) WHERE state IN ('queued', 'sent', 'delivered');
CREATE INDEX commands_of_device ON commands (site, device, created_at DESC, id DESC);
CREATE INDEX commands_created ON commands (created_at DESC, id DESC);
