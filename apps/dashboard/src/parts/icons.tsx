import type { Alert, LagVerdict, StageState } from '@weir/api';

/** States are told by shape and word; colour only repeats them. */
const STATES: Readonly<Record<StageState, { readonly word: string; readonly path: string }>> = {
  ok: { word: 'OK', path: 'M3.5 8.5l3 3 6-7' },
  degraded: { word: 'Degraded', path: 'M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.7v.1' },
  down: { word: 'Down', path: 'M4 4l8 8M12 4l-8 8' },
  unknown: { word: 'Unknown', path: 'M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9.2 8 10M8 12.7v.1' },
};

export function StateMark({ state, words = true }: { state: StageState; words?: boolean }) {
  const { word, path } = STATES[state];
  return (
    <span class={`state state-${state}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={path} />
      </svg>
      <span class={words ? '' : 'sr-only'}>{word}</span>
    </span>
  );
}

const SEVERITIES: Readonly<Record<Alert['severity'], string>> = {
  info: 'M8 7v5M8 4v.1',
  warning: 'M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.7v.1',
  critical: 'M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2zM8 4.5v4.5M8 11.3v.1',
};

export function SeverityMark({ severity }: { severity: Alert['severity'] }) {
  return (
    <span class={`state severity-${severity}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={SEVERITIES[severity]} />
      </svg>
      <span>{severity}</span>
    </span>
  );
}

const VERDICTS: Readonly<Record<LagVerdict, StageState>> = {
  OK: 'ok',
  WARN: 'degraded',
  REWIND: 'degraded',
  ERR: 'down',
  STOP: 'down',
  STALL: 'down',
  UNKNOWN: 'unknown',
};

export function VerdictMark({ verdict }: { verdict: LagVerdict }) {
  const state = VERDICTS[verdict];
  return (
    <span class={`state state-${state}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={STATES[state].path} />
      </svg>
      <span>{verdict}</span>
    </span>
  );
}
