-- How each device is usually heard, so that an alerter that starts, or takes over, need not learn it again. Written when
-- its rhythm has changed by a quarter, when it falls silent or comes back, and every six hours.
CREATE TABLE device_liveness (
  site text NOT NULL,
  device text NOT NULL,
  -- The edge that heard it last, and when, by the clock of that edge, epoch milliseconds.
  edge text NOT NULL,
  last_heard_ms bigint NOT NULL,
  -- Its last intervals, oldest first, at most 64: 2048 log2(milliseconds), two bytes each, low byte first.
  history bytea NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (site, device)
);
