-- Subscriptions of people's own tools: a bounded queue each, made at run time. RabbitMQ drops the queue of one that
-- nobody reads for `expires_ms`; its row goes when the gateway sees that.
CREATE TABLE subscriptions (
  id uuid PRIMARY KEY,
  pattern text NOT NULL,
  message_ttl_ms bigint NOT NULL,
  expires_ms bigint NOT NULL,
  max_messages int NOT NULL,
  ordered boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL
);
