-- Who may publish: read by every edge, written by `weir device add|revoke`.
CREATE TABLE device_credentials (
  device text PRIMARY KEY,
  site text NOT NULL,
  -- scrypt$N$r$p$salt$hash; see libs/reading
  hash text NOT NULL,
  -- topic filters besides the device's own telemetry, events and commands
  publish text[] NOT NULL DEFAULT '{}',
  subscribe text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);
