import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  durationText,
  isOpen,
  mergeRules,
  nextOpening,
  parseRule,
  type RuleProblem,
  writtenRule,
} from '@weir/alerts';
import type {
  Alert,
  AlertDetail,
  AlertRuleView,
  MaintenanceWindowView,
  Matcher,
  NotifierTest,
  NotifierView,
  Silence,
} from '@weir/api';
import { type Config, maintenanceWindow } from '@weir/config';
import {
  acknowledgeAlert,
  addSilence,
  askTest,
  type Database,
  deleteRule,
  deleteWindow,
  endSilence,
  listRules,
  listSilences,
  listWindows,
  lockRules,
  openAlertQueries,
  readAlertHistory,
  readNotifiers,
  recordAudit,
  type SilencesQuery,
  type StoredRule,
  type StoredSilence,
  showAlert,
  testAnswer,
  writeRule,
  writeWindow,
} from '@weir/connect-timescale';
import { EXCHANGES } from '@weir/topology';
import { ApiProblem } from '../http/problems.ts';

/** Who changes something, and why. */
export interface Change {
  readonly by: string;
  readonly why: string;
}

export interface RuleChange extends Change {
  readonly id: string;
  /** The version that the client has seen; undefined: it says none, `*`: any. */
  readonly ifMatch: string | undefined;
}

const TEST_WAIT_MS = 25_000;
const TEST_POLL_MS = 100;

const instant = (time: Date | null): string | null => time?.toISOString() ?? null;

function showSilence({ from, to, createdAt, ...silence }: StoredSilence, now = Date.now()): Silence {
  const state = to.getTime() <= now ? 'expired' : from.getTime() > now ? 'pending' : 'active';
  return {
    ...{ ...silence, matchers: [...silence.matchers], state },
    from: from.toISOString(),
    to: to.toISOString(),
    createdAt: createdAt.toISOString(),
  };
}

const sentence = (problems: readonly RuleProblem[]): string =>
  problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');

/**
 * What people see and change of alerts. Every change is checked, audited and stored in one transaction; the active
 * alerter applies it within seconds. Throws `ApiProblem` where a change is not accepted.
 */
export type AlertingStore = ReturnType<typeof alertingStore>;

export function alertingStore(database: Database, config: Config['alerter']) {
  const alerts = openAlertQueries(database);
  const configured = new Map(config.rules.map((rule) => [rule.id, rule]));

  const showRules = (stored: readonly StoredRule[]): AlertRuleView[] => {
    const { problems } = mergeRules(config.rules, stored);
    const problemOf = (id: string): string | null => {
      const found = problems.get(id);
      return found === undefined ? null : sentence(found);
    };
    const replaced = new Set(stored.map(({ id }) => id));
    return [
      ...config.rules
        .filter(({ id }) => !replaced.has(id))
        .map((rule) => ({
          ...{ id: rule.id, source: 'configuration' as const, overrides: false, enabled: true },
          ...{ version: null, updatedAt: null, updatedBy: null },
          rule: writtenRule(rule) as AlertRuleView['rule'],
          problem: problemOf(rule.id),
        })),
      ...stored.map(({ id, rule, enabled, version, updatedAt, updatedBy }) => ({
        ...{ id, enabled, version, updatedBy, source: 'api' as const },
        overrides: configured.has(id),
        rule: rule as AlertRuleView['rule'],
        updatedAt: updatedAt.toISOString(),
        problem: problemOf(id),
      })),
    ].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  };

  /** The stored rule of this id, once it is sure that the client has seen its newest version. */
  const seen = (stored: readonly StoredRule[], { id, ifMatch }: RuleChange): StoredRule | undefined => {
    const known = stored.find((rule) => rule.id === id);
    if (known !== undefined && ifMatch === undefined)
      throw new ApiProblem(
        'precondition-required',
        `The rule "${id}" exists. Say with If-Match which version you have seen (its ETag).`,
      );
    if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== known?.version)
      throw new ApiProblem(
        'precondition-failed',
        known === undefined
          ? `The rule "${id}" is not there any more.`
          : `The rule "${id}" was changed by ${known.updatedBy} at ${known.updatedAt.toISOString()}; read it again.`,
      );
    if (ifMatch === '*' && known === undefined)
      throw new ApiProblem('precondition-failed', `There is no rule "${id}" to change.`);
    return known;
  };
  /** Refuses a change after which rules could not be applied that could be before it. */
  const checkSet = (before: readonly StoredRule[], after: readonly StoredRule[]): void => {
    const known = mergeRules(config.rules, before).problems;
    for (const [id, problems] of mergeRules(config.rules, after).problems) {
      if (known.has(id)) continue;
      throw new ApiProblem('bad-request', `The rule "${id}" could not be applied: ${sentence(problems)}.`, {
        errors: problems.map(({ path, message }) => ({ path: `rule.${path}`, message })),
      });
    }
  };

  return {
    async alert(id: string): Promise<AlertDetail | null> {
      const row = await alerts.alert(id);
      if (row === null) return null;
      const { changes, deliveries } = await readAlertHistory(database, id);
      return {
        alert: showAlert(row),
        changes: changes.map(({ at, ...change }) => ({ ...change, at: at.toISOString() })),
        deliveries: deliveries.map(({ nextAt, settledAt, ...delivery }) => ({
          ...delivery,
          nextAt: delivery.state === 'queued' ? nextAt.toISOString() : null,
          settledAt: instant(settledAt),
        })),
      };
    },
    acknowledge: (id: string, { by, why }: Change): Promise<Alert> =>
      database.transaction('acknowledging an alert', async (sql) => {
        const before = await openAlertQueries(sql).alert(id);
        if (before === null) throw new ApiProblem('not-found', `There is no alert ${id}.`);
        const row = await acknowledgeAlert(sql, id, by);
        if (row === null) {
          const now = (await openAlertQueries(sql).alert(id)) ?? before;
          if (now.state === 'acknowledged')
            throw new ApiProblem(
              'refused',
              `${now.acknowledgedBy} has acknowledged it at ${now.acknowledgedAt?.toISOString()}.`,
            );
          throw new ApiProblem(
            'refused',
            `It is ${now.state}; only an alert that fires can be acknowledged.`,
          );
        }
        const [was, is] = [showAlert(before), showAlert(row)];
        await recordAudit(sql, {
          ...{ actor: by, why, action: 'alert.acknowledge', subject: id },
          before: was,
          after: is,
        });
        return is;
      }),

    silences: async (query: SilencesQuery): Promise<Silence[]> =>
      (await listSilences(database, query)).map((silence) => showSilence(silence)),
    silence: (
      {
        matchers,
        from,
        to,
      }: { readonly matchers: readonly Matcher[]; readonly from: Date; readonly to: Date },
      { by, why }: Change,
    ): Promise<Silence> => {
      if (to.getTime() <= Math.max(from.getTime(), Date.now()))
        throw new ApiProblem('bad-request', 'to: a silence must end after it begins, and in the future.');
      return database.transaction('adding a silence', async (sql) => {
        const after = showSilence(await addSilence(sql, { matchers, from, to, by, why }));
        await recordAudit(sql, { actor: by, why, action: 'silence.create', subject: after.id, after });
        return after;
      });
    },
    unsilence: (id: string, { by, why }: Change): Promise<Silence> =>
      database.transaction('ending a silence', async (sql) => {
        const ended = await endSilence(sql, id);
        if (ended === null) throw new ApiProblem('not-found', `There is no silence ${id} that lasts.`);
        const after = showSilence(ended.after);
        const before = showSilence(ended.before);
        await recordAudit(sql, { actor: by, why, action: 'silence.end', subject: id, before, after });
        return after;
      }),

    async windows(now = Date.now()): Promise<MaintenanceWindowView[]> {
      const stored = await listWindows(database);
      const parsed = stored.flatMap(({ id, definition }) => {
        const window = maintenanceWindow.safeParse({ ...definition, id });
        return window.success ? [{ ...window.data, source: 'api' as const }] : [];
      });
      const replaced = new Set(parsed.map(({ id }) => id));
      const all = [
        ...config.maintenance
          .filter(({ id }) => !replaced.has(id))
          .map((window) => ({ ...window, source: 'configuration' as const })),
        ...parsed,
      ];
      return all
        .map((window) => {
          const next = nextOpening(window, now);
          return {
            ...{ ...window, for: durationText(window.for), open: isOpen(window, now) },
            nextAt: next === null ? null : new Date(next).toISOString(),
          };
        })
        .toSorted((a, b) => (a.id < b.id ? -1 : 1));
    },
    putWindow: (
      id: string,
      definition: Readonly<Record<string, unknown>>,
      { by, why }: Change,
    ): Promise<void> => {
      const parsed = maintenanceWindow.safeParse({ ...definition, id });
      if (!parsed.success) {
        const errors = parsed.error.issues.map(({ path, message }) => ({
          path: `window.${path.join('.')}`,
          message,
        }));
        throw new ApiProblem('bad-request', sentence(errors), { errors });
      }
      return database.transaction('storing a maintenance window', async (sql) => {
        const before = (await listWindows(sql)).find((window) => window.id === id)?.definition;
        await writeWindow(sql, { id, definition });
        await recordAudit(sql, {
          ...{ actor: by, why, action: 'maintenance-window.write', subject: id, before, after: definition },
        });
      });
    },
    removeWindow: (id: string, { by, why }: Change): Promise<void> =>
      database.transaction('removing a maintenance window', async (sql) => {
        const before = (await listWindows(sql)).find((window) => window.id === id)?.definition;
        if (before === undefined)
          throw new ApiProblem('not-found', `The API has made no maintenance window "${id}".`);
        await deleteWindow(sql, id);
        await recordAudit(sql, { actor: by, why, action: 'maintenance-window.delete', subject: id, before });
      }),

    rules: async (): Promise<AlertRuleView[]> => showRules(await listRules(database)),
    rule: async (id: string): Promise<AlertRuleView | null> =>
      showRules(await listRules(database)).find((rule) => rule.id === id) ?? null,
    putRule: ({
      rule,
      enabled,
      ...change
    }: RuleChange & {
      readonly rule: Readonly<Record<string, unknown>>;
      readonly enabled: boolean;
    }): Promise<{ readonly rule: AlertRuleView; readonly created: boolean }> => {
      const { id, by, why } = change;
      if (rule.id !== undefined && rule.id !== id)
        throw new ApiProblem(
          'bad-request',
          `rule.id: it is "${String(rule.id)}", and the address says "${id}".`,
        );
      const written = { ...rule, id };
      const parsed = parseRule({ id, rule: written });
      if (!('id' in parsed)) {
        const errors = parsed.map(({ path, message }) => ({ path: `rule.${path}`, message }));
        throw new ApiProblem('bad-request', sentence(errors), { errors });
      }
      return database.transaction('storing an alert rule', async (sql) => {
        await lockRules(sql);
        const before = await listRules(sql);
        const known = seen(before, change);
        const stored = await writeRule(sql, { id, rule: written, enabled, updatedBy: by });
        const after = [...before.filter((one) => one.id !== id), stored];
        checkSet(before, after);
        const [was, is] = [before, after].map((all) => showRules(all).find((one) => one.id === id));
        await recordAudit(sql, {
          ...{
            actor: by,
            why,
            action: known === undefined ? 'alert-rule.create' : 'alert-rule.update',
            subject: id,
          },
          before:
            was === undefined ? undefined : { rule: was.rule, enabled: was.enabled, source: was.source },
          after: { rule: written, enabled, source: 'api' },
        });
        return { rule: is as AlertRuleView, created: known === undefined };
      });
    },
    removeRule: (change: RuleChange): Promise<void> =>
      database.transaction('removing an alert rule', async (sql) => {
        const { id, by, why } = change;
        await lockRules(sql);
        const before = await listRules(sql);
        const known = before.find((rule) => rule.id === id);
        if (known === undefined) {
          if (!configured.has(id)) throw new ApiProblem('not-found', `There is no rule "${id}".`);
          throw new ApiProblem(
            'refused',
            `The rule "${id}" stands in the configuration. Switch it off by writing it with "enabled": false.`,
          );
        }
        seen(before, change);
        await deleteRule(sql, id);
        checkSet(
          before,
          before.filter((rule) => rule.id !== id),
        );
        await recordAudit(sql, {
          ...{ actor: by, why, action: 'alert-rule.delete', subject: id },
          before: { rule: known.rule, enabled: known.enabled, source: 'api' },
        });
      }),

    async notifiers(): Promise<NotifierView[]> {
      const known = new Map((await readNotifiers(database)).map((one) => [one.notifier, one]));
      return [{ id: EXCHANGES.alerts.name, kind: 'exchange' }, ...config.notifiers].map(({ id, kind }) => {
        const health = known.get(id);
        return {
          ...{ id, kind, state: health?.state ?? 'unknown' },
          queued: health?.queued ?? 0,
          oldestQueuedAt: instant(health?.oldestQueuedAt ?? null),
          held: health?.held ?? 0,
          lastSentAt: instant(health?.lastSentAt ?? null),
          lastError: health?.lastError ?? null,
          lastErrorAt: instant(health?.lastErrorAt ?? null),
        };
      });
    },
    /** Has the active alerter send a test alert, and waits for what came back. */
    async testNotifier(notifier: string, by: string): Promise<NotifierTest> {
      const all = [EXCHANGES.alerts.name, ...config.notifiers.map(({ id }) => id)];
      if (!all.includes(notifier))
        throw new ApiProblem('not-found', `There is no notifier "${notifier}"; there are ${all.join(', ')}.`);
      const id = randomUUID();
      await askTest(database, { id, notifier }, by);
      for (const end = Date.now() + TEST_WAIT_MS; Date.now() < end; ) {
        const answer = await testAnswer(database, id);
        if (answer !== null) return { notifier, message: `test/${id}`, ...answer };
        await delay(TEST_POLL_MS);
      }
      throw new ApiProblem(
        'alerter-away',
        `No active alerter has sent the test alert within ${TEST_WAIT_MS / 1_000} s; \`weir status\` shows the alerters.`,
      );
    },
  };
}
