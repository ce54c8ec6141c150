/** Window levels, finest first; each level's size is a whole multiple of the one before. */
export const LEVELS = [
  { name: '1s', seconds: 1, table: 'windows_1s' },
  { name: '10s', seconds: 10, table: 'windows_10s' },
  { name: '1m', seconds: 60, table: 'windows_1m' },
  { name: '5m', seconds: 300, table: 'windows_5m' },
  { name: '15m', seconds: 900, table: 'windows_15m' },
  { name: '1h', seconds: 3600, table: 'windows_1h' },
] as const;
/** Levels of roll-ups; their sizes are those of the windows of the same name. */
export const ROLLUP_LEVELS = [
  { name: '10s', seconds: 10, table: 'rollups_10s' },
  { name: '1m', seconds: 60, table: 'rollups_1m' },
  { name: '5m', seconds: 300, table: 'rollups_5m' },
  { name: '15m', seconds: 900, table: 'rollups_15m' },
  { name: '1h', seconds: 3600, table: 'rollups_1h' },
] as const;
export type LevelName = (typeof LEVELS)[number]['name'];

export const TABLES = {
  series: 'series',
  partitionOffsets: 'partition_offsets',
  devices: 'devices',
  deviceLiveness: 'device_liveness',
  alerts: 'alerts',
  alertRuleState: 'alert_rule_state',
  alertTransitions: 'alert_transitions',
  forcedReadings: 'forced_readings',
  deadLetters: 'dead_letters',
  deadLetterEdits: 'dead_letter_edits',
  deadLetterUnsettled: 'dead_letter_unsettled',
  deadLetterHistory: 'dead_letter_history',
  replayTasks: 'replay_tasks',
  replayItems: 'replay_items',
  idempotencyKeys: 'idempotency_keys',
  auditTrail: 'audit_trail',
  subscriptions: 'subscriptions',
  alertDeliveries: 'alert_deliveries',
  alertDeliveriesPlanned: 'alert_deliveries_planned',
  notifierHealth: 'notifier_health',
  notifierTests: 'notifier_tests',
  silences: 'silences',
  alertRules: 'alert_rules',
  maintenanceWindows: 'maintenance_windows',
  alertingVersion: 'alerting_version',
  maintenance: 'maintenance',
  retention: 'retention',
  windowsKept: 'windows_kept',
  rollups: 'rollups',
  rollupScopes: 'rollup_scopes',
  derivations: 'derivations',
  commands: 'commands',
} as const;
