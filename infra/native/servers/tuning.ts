// How the servers are set, apart from where they listen and keep their data: the native stack and docker-compose.yml
// both use these tables. Everything shares two cores.
type Settings = Readonly<Record<string, string | number>>;

export const KAFKA_SETTINGS: Settings = {
  'auto.create.topics.enable': 'false',
  'default.replication.factor': 1,
  'min.insync.replicas': 1,
  'offsets.topic.replication.factor': 1,
  'offsets.topic.num.partitions': 10,
  'transaction.state.log.replication.factor': 1,
  'transaction.state.log.min.isr': 1,
  'transaction.state.log.num.partitions': 10,
  'share.coordinator.state.topic.replication.factor': 1,
  'share.coordinator.state.topic.min.isr': 1,
  'group.initial.rebalance.delay.ms': 0,
  'group.min.session.timeout.ms': 1_000, // Tests of killed members need not wait the usual six seconds.
  'num.network.threads': 2,
  'num.io.threads': 4,
  'num.recovery.threads.per.data.dir': 2,
  'log.cleaner.dedupe.buffer.size': 16 << 20, // 128 MiB by default, a quarter of this heap.
  // After kill -9 the controller refuses the returning broker until its old session has run out.
  'broker.heartbeat.interval.ms': 500,
  'broker.session.timeout.ms': 2_000,
};
export const KAFKA_HEAP = '-Xmx512m';

export const RABBITMQ_SETTINGS: Settings = {
  'default_user_tags.administrator': 'true',
  'vm_memory_high_watermark.absolute': '1536MB',
  'disk_free_limit.absolute': '1GB',
  'raft.wal_max_size_bytes': 64 << 20, // 512 MiB by default, all of it also held in memory.
  'log.console': 'true',
  'log.console.level': 'info',
  'log.file': 'false',
};
/** Idle schedulers must not spin. */
export const RABBITMQ_ERLANG = '+sbwt none +sbwtdcpu none +sbwtdio none';

export const POSTGRES_SETTINGS: Settings = {
  max_connections: 100,
  shared_preload_libraries: 'timescaledb',
  'timescaledb.telemetry_level': 'off',
  'timescaledb.max_background_workers': 8,
  max_worker_processes: 24,
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  // An acknowledged row must outlive kill -9 and a lost power supply.
  synchronous_commit: 'on',
  fsync: 'on',
  full_page_writes: 'on',
  password_encryption: 'scram-sha-256',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  jit: 'off', // Short queries: compiling them costs more than running them.
};

export const REDIS_SETTINGS: Settings = {
  appendonly: 'yes',
  appendfsync: 'everysec',
  save: '""',
  maxmemory: '128mb',
  'maxmemory-policy': 'allkeys-lru',
};

export const MINIO_ENVIRONMENT: Readonly<Record<string, string>> = {
  MINIO_UPDATE: 'off',
  MINIO_SCANNER_SPEED: 'slowest',
};
