import type { AlertRuleView } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { ChangeForm, Dialog } from '../parts/dialog.tsx';

const NEW = `{
  "kind": "threshold",
  "metric": "temperature",
  "above": 80,
  "clear": 75,
  "hold": "30s",
  "severity": "warning"
}`;

/** What alerts are made of. A rule that is changed here stands in for the one of weir.yaml until it is removed. */
export function Rules() {
  const asked = useAsked('rules', (signal) => api.alertRules(signal), 10_000);
  const [dialog, setDialog] = useState<{ of: AlertRuleView | null; removes?: boolean } | null>(null);
  const done = (): void => {
    setDialog(null);
    asked.again();
  };
  return (
    <section aria-labelledby="rules-title">
      <div class="section-head">
        <h2 id="rules-title">Rules</h2>
        <p>A change is in force within 5 s, and who made it is kept.</p>
        <button type="button" class="button is-plain" onClick={() => setDialog({ of: null })}>
          New rule …
        </button>
      </div>
      {asked.trouble !== null && <p class="note">Rules cannot be read now: {asked.trouble}</p>}
      {asked.value?.rules.length === 0 && <p class="empty">There is no rule, so nothing can fire.</p>}
      {asked.value !== null && asked.value.rules.length > 0 && (
        <div class="table-box">
          <table class="rows">
            <thead>
              <tr>
                <th scope="col">Rule</th>
                <th scope="col">Condition</th>
                <th scope="col">From</th>
                <th scope="col">
                  <span class="sr-only">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {asked.value.rules.map((rule) => (
                <tr key={rule.id} data-rule={rule.id}>
                  <td data-name="Rule">
                    <strong>{rule.id}</strong>
                    {!rule.enabled && <span class="chip">off</span>}
                    {rule.problem !== null && <span class="small is-bad"> not applied: {rule.problem}</span>}
                  </td>
                  <td data-name="Condition">
                    <code class="wrap">{conditionOf(rule)}</code>
                  </td>
                  <td data-name="From">
                    {rule.source === 'configuration' ? 'weir.yaml' : (rule.updatedBy ?? 'the API')}
                    {rule.overrides && <span class="muted small"> in place of weir.yaml</span>}
                  </td>
                  <td class="nowrap">
                    <button type="button" class="quiet" onClick={() => setDialog({ of: rule })}>
                      Change …
                    </button>
                    {rule.source === 'api' && (
                      <button
                        type="button"
                        class="quiet"
                        onClick={() => setDialog({ of: rule, removes: true })}
                      >
                        Remove …
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {dialog?.removes === true && dialog.of !== null && (
        <Dialog title={`Remove ${dialog.of.id}`} onClose={() => setDialog(null)}>
          <RemoveForm rule={dialog.of} onDone={done} />
        </Dialog>
      )}
      {dialog !== null && dialog.removes !== true && (
        <Dialog
          title={dialog.of === null ? 'New rule' : `Rule ${dialog.of.id}`}
          onClose={() => setDialog(null)}
        >
          <RuleForm of={dialog.of} onDone={done} />
        </Dialog>
      )}
    </section>
  );
}

/** The rule without what stands in the other columns. */
function conditionOf({ rule }: AlertRuleView): string {
  return Object.entries(rule)
    .filter(([name, value]) => name !== 'id' && value !== '*' && !isEmpty(value))
    .map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(', ');
}
const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

function RemoveForm({ rule, onDone }: { rule: AlertRuleView; onDone: () => void }) {
  return (
    <ChangeForm
      action="Remove it"
      grave
      onDone={onDone}
      change={(why) => api.removeAlertRule(rule.id, rule.version, why)}
    >
      <p>{rule.overrides ? 'The rule of weir.yaml is in force again.' : 'Its open alerts are resolved.'}</p>
    </ChangeForm>
  );
}

function RuleForm({ of, onDone }: { of: AlertRuleView | null; onDone: () => void }) {
  const [id, setId] = useState(of?.id ?? '');
  const [text, setText] = useState(of === null ? NEW : JSON.stringify(without(of.rule, 'id'), null, 2));
  const [enabled, setEnabled] = useState(of?.enabled ?? true);
  const save = async (why: string): Promise<void> => {
    let rule: unknown;
    try {
      rule = JSON.parse(text);
    } catch (error) {
      throw new Error(`The rule is no JSON: ${(error as Error).message}`);
    }
    await api.putAlertRule(id, of?.version ?? null, { rule, enabled, why });
  };
  return (
    <ChangeForm action="Save" onDone={onDone} change={save}>
      <label class="field">
        <span>Name</span>
        <input
          required
          disabled={of !== null}
          value={id}
          pattern="[a-z0-9\-]{1,64}"
          title="lower-case letters, digits and -"
          onInput={(event) => setId(event.currentTarget.value)}
        />
      </label>
      <label class="field">
        <span>Rule, as in weir.yaml</span>
        <textarea
          rows={10}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={enabled}
          onChange={(event) => setEnabled(event.currentTarget.checked)}
        />
        In force
      </label>
    </ChangeForm>
  );
}

function without(rule: Readonly<Record<string, unknown>>, name: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(rule).filter(([key]) => key !== name));
}
