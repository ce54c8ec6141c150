import type { Summary } from '@weir/api';
import type { ComponentChildren } from 'preact';
import { count, fineSpan, signedSpan, span, timeOfDay } from '../format.ts';
import { now } from '../state.ts';

/** How the device itself is: heard of, how far its windows are, its clock, what it left out, what came too late. */
export function DeviceFacts({ of }: { of: Summary }) {
  const { liveness, watermark, clock, sequence, readings } = of;
  return (
    <dl class="facts">
      <Fact name="Device" state={liveness.state}>
        {LIVENESS[liveness.state]}
        {liveness.state === 'silent' && liveness.lastSeen !== null && (
          <span class="muted"> last heard {span(now.value - Date.parse(liveness.lastSeen))} ago</span>
        )}
      </Fact>
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
