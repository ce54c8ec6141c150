import type { DeadLetter, DeadLetterFacets, DeadLetterGroup } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { bytes, count, moment, span } from '../format.ts';
import { amend, query } from '../route.ts';
import { now } from '../state.ts';
import { ActionDialog, type LetterAction, LetterActions } from './actions.tsx';
import { LetterDialog } from './detail.tsx';
import { Replays } from './replays.tsx';
import { chosen, type Field } from './selection.ts';

const EVERY_MS = 5_000;
const PAGE = 50;

/** What could not be processed: why, from whom, and what to do about it. */
export function LettersPage() {
  const selection = chosen();
  const key = JSON.stringify(selection);
  const asked = useAsked(`facets ${key}`, (signal) => api.deadLetterFacets(selection, signal), EVERY_MS);
  const [action, setAction] = useState<LetterAction | null>(null);
  const facets = asked.value;
  const letter = query.value.get('letter');
  return (
    <>
      <section aria-labelledby="letters-title">
        <div class="section-head">
          <h1 id="letters-title">Dead letters</h1>
          <p role="status">{facets === null ? '' : totals(facets, key !== '{}')}</p>
        </div>
        {asked.trouble !== null && <p class="note">Dead letters cannot be read now: {asked.trouble}</p>}
        <Chosen selection={selection} />
        {facets !== null && facets.total === 0 && (
          <p class="empty">{key === '{}' ? 'There is none: everything was processed.' : 'None fits.'}</p>
        )}
        {facets !== null && facets.total > 0 && (
          <div class="browse">
            <Facets facets={facets} selection={selection} />
            <div class="browse-main">
              <LetterActions label={`Replay ${count(facets.total)}`} onAction={setAction} />
              {selection.fingerprint === undefined && <Groups groups={facets.groups} />}
              <Letters selection={selection} />
            </div>
          </div>
        )}
      </section>
      <Replays />
      {action !== null && facets !== null && (
        <ActionDialog
          action={action}
          selection={selection}
          total={facets.total}
          onClose={() => setAction(null)}
          onChanged={asked.again}
        />
      )}
      {letter !== null && (
        <LetterDialog
          key={letter}
          id={letter}
          onClose={() => amend({ letter: '' })}
          onChanged={asked.again}
        />
      )}
    </>
  );
}

function totals({ total, oldestAt }: DeadLetterFacets, isFiltered: boolean): string {
  if (total === 0) return '';
  const age = oldestAt === null ? '' : `, the oldest from ${moment(Date.parse(oldestAt))}`;
  return `${count(total)}${isFiltered ? ' fit' : ''}${age}.`;
}

function Chosen({ selection }: { selection: Partial<Record<Field, string>> }) {
  const entries = Object.entries(selection);
  if (entries.length === 0) return null;
  return (
    <ul class="chosen" aria-label="Only letters with">
      {entries.map(([field, value]) => (
        <li key={field}>
          <button type="button" class="chip" onClick={() => amend({ [field]: '' })}>
            {NAMES[field as Field]}: <strong>{value}</strong>
            <span class="sr-only"> remove</span>
            <span aria-hidden="true"> ×</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

const NAMES: Readonly<Record<Field, string>> = {
  reason: 'Reason',
  stage: 'Stage',
  site: 'Site',
  device: 'Device',
  fingerprint: 'Kind of failure',
  originSystem: 'Came over',
  status: 'Status',
  from: 'Failed from',
  to: 'Failed before',
  replayedAtLeast: 'Replayed at least',
  replayedAtMost: 'Replayed at most',
};

const AGES = [
  ['last 10 min', 600_000],
  ['last hour', 3_600_000],
  ['last day', 86_400_000],
  ['last week', 604_800_000],
] as const;

function Facets({
  facets,
  selection,
}: {
  facets: DeadLetterFacets;
  selection: Partial<Record<Field, string>>;
}) {
  return (
    <search class="facets" aria-label="Narrow down">
      {(['status', 'reason', 'stage', 'device', 'originSystem', 'replayCount'] as const).map((name) => {
        const field = name === 'replayCount' ? 'replayedAtLeast' : name;
        const values = facets[name];
        if (values.length === 0) return null;
        return (
          <fieldset key={name}>
            <legend>{name === 'replayCount' ? 'Times replayed' : NAMES[field]}</legend>
            {values.map(({ value, count: letters }) => (
              <button
                type="button"
                key={value}
                class="facet"
                aria-pressed={selection[field] === value}
                onClick={() => amend(choice(name, field, value, selection))}
              >
                <span>{value}</span>
                <span class="muted">{count(letters)}</span>
              </button>
            ))}
          </fieldset>
        );
      })}
      <fieldset>
        <legend>Age</legend>
        {AGES.map(([label, ms]) => (
          <button
            type="button"
            key={label}
            class="facet"
            onClick={() => amend({ from: new Date(Date.now() - ms).toISOString(), to: '' })}
          >
            <span>{label}</span>
          </button>
        ))}
      </fieldset>
    </search>
  );
}

/** A value that is chosen already is taken back. */
function choice(
  name: string,
  field: Field,
  value: string,
  selection: Partial<Record<Field, string>>,
): Record<string, string> {
  const next = selection[field] === value ? '' : value;
  return name === 'replayCount' ? { replayedAtLeast: next, replayedAtMost: next } : { [field]: next };
}

function Groups({ groups }: { groups: readonly DeadLetterGroup[] }) {
  return (
    <>
      <h2 class="sub">Kinds of failure</h2>
      <div class="table-box">
        <table class="rows" data-groups={groups.length}>
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Reason</th>
              <th scope="col" class="num">
                Letters
              </th>
              <th scope="col" class="num">
                Devices
              </th>
              <th scope="col">Last</th>
            </tr>
          </thead>
          <tbody>
            {groups.map((group) => (
              <tr key={group.fingerprint}>
                <td data-name="What">
                  <button
                    type="button"
                    class="link-button"
                    onClick={() => amend({ fingerprint: group.fingerprint })}
                  >
                    {group.example}
                  </button>
                </td>
                <td data-name="Reason">
                  {group.reason} <span class="muted small">in {group.stage}</span>
                </td>
                <td data-name="Letters" class="num">
                  {count(group.count)}
                </td>
                <td data-name="Devices" class="num">
                  {count(group.devices)}
                </td>
                <td data-name="Last">
                  <time title={moment(Date.parse(group.lastAt))}>
                    {span(now.value - Date.parse(group.lastAt))} ago
                  </time>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Letters({ selection }: { selection: Partial<Record<Field, string>> }) {
  const [older, setOlder] = useState<readonly string[]>([]);
  const cursor = older.at(-1);
  const asked = useAsked(
    `letters ${JSON.stringify(selection)} ${cursor}`,
    (signal) =>
      api.deadLetters({ ...selection, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) }, signal),
    EVERY_MS,
  );
  const page = asked.value;
  return (
    <>
      <h2 class="sub">Letters, the newest first</h2>
      {asked.trouble !== null && <p class="note">The letters cannot be read now: {asked.trouble}</p>}
      {page !== null && (
        <div class="table-box">
          <table class="rows" data-letters={page.letters.length}>
            <thead>
              <tr>
                <th scope="col">Failed</th>
                <th scope="col">Device</th>
                <th scope="col">Reason</th>
                <th scope="col">Error</th>
                <th scope="col">Status</th>
                <th scope="col" class="num">
                  Size
                </th>
              </tr>
            </thead>
            <tbody>
              {page.letters.map((letter) => (
                <Row key={letter.id} letter={letter} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <p class="actions">
        {older.length > 0 && (
          <button type="button" class="quiet" onClick={() => setOlder(older.slice(0, -1))}>
            Newer
          </button>
        )}
        {page !== null && page.next !== null && (
          <button type="button" class="quiet" onClick={() => setOlder([...older, page.next ?? ''])}>
            Older
          </button>
        )}
      </p>
    </>
  );
}

function Row({ letter }: { letter: DeadLetter }) {
  const at = Date.parse(letter.lastFailedAt);
  return (
    <tr data-letter={letter.id}>
      <td data-name="Failed" class="nowrap">
        <button type="button" class="link-button" onClick={() => amend({ letter: letter.id })}>
          <time dateTime={letter.lastFailedAt} title={moment(at)}>
            {span(now.value - at)} ago
          </time>
        </button>
      </td>
      <td data-name="Device">
        {letter.device ?? <span class="muted">not known</span>}
        {letter.site !== null && <span class="muted small"> at {letter.site}</span>}
      </td>
      <td data-name="Reason">{letter.reason}</td>
      <td data-name="Error">{letter.errorMessage}</td>
      <td data-name="Status">
        <span class={`chip chip-${letter.status}`}>{letter.status}</span>
        {letter.replayCount > 0 && <span class="muted small"> {letter.replayCount}× replayed</span>}
      </td>
      <td data-name="Size" class="num">
        {bytes(letter.bytes)}
      </td>
    </tr>
  );
}
