import type { Alert, Matcher, Silence } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { moment, span } from '../format.ts';
import { ChangeForm, Dialog } from '../parts/dialog.tsx';
import { now } from '../state.ts';

const TIMES = [
  ['30 min', 30],
  ['2 h', 120],
  ['8 h', 480],
  ['1 d', 1_440],
  ['7 d', 10_080],
] as const;

const textOf = ({ name, op, value }: Matcher): string => `${name}${op}${value}`;

/** Alerts that fit are recorded as always; nobody is told of them. */
export function Silences() {
  const asked = useAsked('silences', (signal) => api.silences(signal), 10_000);
  const [dialog, setDialog] = useState<Silence | 'new' | null>(null);
  const done = (): void => {
    setDialog(null);
    asked.again();
  };
  return (
    <section aria-labelledby="silences-title">
      <div class="section-head">
        <h2 id="silences-title">Silences</h2>
        <p>Alerts that fit are recorded, and nobody is told.</p>
        <button type="button" class="button is-plain" onClick={() => setDialog('new')}>
          New silence …
        </button>
      </div>
      {asked.trouble !== null && <p class="note">Silences cannot be read now: {asked.trouble}</p>}
      {asked.value?.silences.length === 0 && <p class="empty">None is in force.</p>}
      {asked.value !== null && asked.value.silences.length > 0 && (
        <div class="table-box">
          <table class="rows">
            <thead>
              <tr>
                <th scope="col">Fits</th>
                <th scope="col">Why</th>
                <th scope="col">By</th>
                <th scope="col">Until</th>
                <th scope="col">
                  <span class="sr-only">End it</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {asked.value.silences.map((silence) => (
                <tr key={silence.id}>
                  <td data-name="Fits">
                    {silence.matchers.map((matcher) => (
                      <code key={textOf(matcher)} class="matcher">
                        {textOf(matcher)}
                      </code>
                    ))}
                    {silence.state === 'pending' && <span class="chip">begins later</span>}
                  </td>
                  <td data-name="Why">{silence.why}</td>
                  <td data-name="By">{silence.by}</td>
                  <td data-name="Until">
                    <time title={moment(Date.parse(silence.to))}>
                      {span(Date.parse(silence.to) - now.value)} left
                    </time>
                  </td>
                  <td>
                    <button type="button" class="quiet" onClick={() => setDialog(silence)}>
                      End …
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {dialog === 'new' && (
        <Dialog title="New silence" onClose={() => setDialog(null)}>
          <SilenceForm onDone={done} />
        </Dialog>
      )}
      {dialog !== null && dialog !== 'new' && (
        <Dialog title="End a silence" onClose={() => setDialog(null)}>
          <ChangeForm action="End it now" onDone={done} change={(why) => api.unsilence(dialog.id, why)}>
            <p>
              {dialog.matchers.map(textOf).join(', ')}: alerts that still fire are told again from now on.
            </p>
          </ChangeForm>
        </Dialog>
      )}
    </section>
  );
}

/** `site=plant-1 device=pump-*`; null when a part is none. */
function parseMatchers(text: string): Matcher[] | null {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  const found = parts.map((part) => /^([A-Za-z_]\w*)(!=|=)(.*)$/.exec(part));
  if (found.length === 0 || found.some((one) => one === null)) return null;
  return found.flatMap((one) =>
    one === null ? [] : [{ name: one[1] ?? '', op: one[2] === '!=' ? '!=' : '=', value: one[3] ?? '' }],
  );
}

export function SilenceForm({ of, onDone }: { of?: Alert; onDone: () => void }) {
  const [text, setText] = useState(
    of === undefined
      ? ''
      : [`rule=${of.rule}`, `site=${of.site}`, ...(of.device === '' ? [] : [`device=${of.device}`])].join(
          ' ',
        ),
  );
  const [minutes, setMinutes] = useState(120);
  const silence = (why: string): Promise<unknown> => {
    const matchers = parseMatchers(text);
    if (matchers === null)
      throw new Error('Write what it fits as name=value, for example site=plant-1 device=pump-*');
    return api.silence({ matchers, to: new Date(Date.now() + minutes * 60_000).toISOString(), why });
  };
  return (
    <ChangeForm action="Silence" onDone={onDone} change={async (why) => silence(why)}>
      <label class="field">
        <span>Fits</span>
        <input
          required
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          placeholder="site=plant-1 device=pump-*"
        />
      </label>
      <label class="field">
        <span>For</span>
        <select value={minutes} onChange={(event) => setMinutes(Number(event.currentTarget.value))}>
          {TIMES.map(([label, length]) => (
            <option key={label} value={length}>
              {label}
            </option>
          ))}
        </select>
      </label>
    </ChangeForm>
  );
}
