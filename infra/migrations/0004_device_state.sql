-- What is known of each device: written in the transaction of its windows, a function of the log up to folded_offset.
CREATE TABLE devices (
  site text NOT NULL,
  device text NOT NULL,
  -- Partition of the readings that the device is in.
  partition int NOT NULL,
  -- Arrival of its first and its newest message.
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  -- Newest event time, and the event time up to which its windows are complete but for late readings.
  newest timestamptz,
  watermark timestamptz,
  -- Of its sequence numbers: the newest, times that some were jumped over, how many of them have not come since,
  -- messages that came after a higher number, times that it began to count anew.
  seq_last bigint,
  seq_gaps bigint NOT NULL,
  seq_missing bigint NOT NULL,
  seq_reordered bigint NOT NULL,
  seq_restarts bigint NOT NULL,
  -- Readings sent again by the device, and readings later than the allowed lateness.
  duplicates bigint NOT NULL,
  late bigint NOT NULL,
  -- Device clock minus edge clock as of clock_at; the truth lies within the error. Null: too few device times.
  clock_offset_ms float8,
  clock_error_ms float8,
  clock_drift_ppm float8,
  clock_drift_error_ppm float8,
  clock_at timestamptz,
  clock_steps bigint NOT NULL,
  -- Its lines up to this offset of the partition are counted.
  folded_offset bigint NOT NULL,
  -- What the counts and the estimate go on from (DeviceState in libs/windows); only ever read as a whole.
  state json NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (site, device)
) WITH (fillfactor = 50);
CREATE INDEX devices_partition ON devices (partition);
