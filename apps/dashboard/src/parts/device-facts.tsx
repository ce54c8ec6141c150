import type { Summary } from '@weir/api';
import type { ComponentChildren } from 'preact';
import { count, fineSpan, signedSpan, span, timeOfDay } from '../format.ts';
import { now } from '../state.ts';

/** How the device itself is: heard of, how far its windows are, its clock, what it left out, what came too late. */
export function DeviceFacts({ of }: { of: Summary }) {
  const { liveness, watermark, clock, sequence, readings } = of;
  return (
    <dl class="facts">
      <Life of={liveness} />
      {watermark !== null && (
        <Fact name="Complete up to" help="The watermark: every window that ends before it is stored.">
          <span data-watermark={watermark}>{timeOfDay(Date.parse(watermark))}</span>
        </Fact>
      )}
      {clock !== null && (
        <Fact name="Its clock" help="Against the clock of the edge; the truth lies within the ±.">
          {signedSpan(clock.offsetMs)} <span class="muted">± {fineSpan(clock.errorMs)}</span>
        </Fact>
      )}
      {sequence !== null && sequence.last !== null && (
        <Fact
          name="Sequence"
          help="Numbers that it jumped over and never sent; messages that overtook others."
        >
          {sequence.missing === 0 ? 'nothing missing' : `${count(sequence.missing)} missing`}
          {sequence.reordered > 0 && <span class="muted"> {count(sequence.reordered)} out of order</span>}
        </Fact>
      )}
      {readings !== null && (
        <Fact name="Readings" help="Too late: dead letters, which can be replayed. Repeated: counted once.">
          {readings.late === 0 ? 'none too late' : `${count(readings.late)} too late`}
          {readings.duplicates > 0 && <span class="muted"> {count(readings.duplicates)} repeated</span>}
        </Fact>
      )}
    </dl>
  );
}

/** As its own rhythm tells, when the alerter knows it; else by how long ago its row was written. */
function Life({ of: { state, lastSeen, detector } }: { of: Summary['liveness'] }) {
  const judged = detector !== null && detector.phi !== null ? detector : null;
  const shown = judged === null ? state : judged.state === 'suspect' ? 'silent' : 'online';
  const heard = detector?.lastHeard ?? lastSeen;
  return (
    <Fact
      name="Device"
      state={shown}
      help="φ: how surprising its silence is by its own rhythm; 8 and more is silent."
    >
      {LIVENESS[shown]}
      {judged !== null && judged.phi !== null && judged.periodMs !== null && (
        <span class="muted" data-phi={judged.phi}>
          {` φ ${judged.phi < 10 ? judged.phi.toFixed(1) : Math.round(judged.phi)}, every ${fineSpan(judged.periodMs)}`}
        </span>
      )}
      {shown === 'silent' && heard !== null && (
        <span class="muted"> last heard {span(now.value - Date.parse(heard))} ago</span>
      )}
    </Fact>
  );
}

const LIVENESS = { online: 'online', silent: 'silent', unknown: 'not known yet' } as const;

function Fact({
  name,
  help,
  state,
  children,
}: {
  name: string;
  help?: string;
  state?: string;
  children: ComponentChildren;
}) {
  return (
    <div class="fact" title={help}>
      <dt class="muted">{name}</dt>
      <dd class={state === undefined ? '' : `liveness-${state}`}>{children}</dd>
    </div>
  );
}
