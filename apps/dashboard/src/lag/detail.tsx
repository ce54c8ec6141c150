import type { LagExplanation, LagGroup, LagHistory, LagPartition, LagSystem } from '@weir/api';
import type uPlot from 'uplot';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { Chart, type Line } from '../chart/chart.tsx';
import { count, moment, rate, span, UNKNOWN } from '../format.ts';
import { Dialog } from '../parts/dialog.tsx';
import { VerdictMark } from '../parts/icons.tsx';
import { lasting, velocity } from './figures.ts';

const EVERY_MS = 3_000;
const HISTORY_MS = 10_000;
const HOUR_MS = 3_600_000;
const MOST = 100;

/** One group or queue: why it stands as it does, its last hour, its partitions. */
export function LagDialog({
  system,
  group,
  onClose,
}: {
  system: LagSystem;
  group: string;
  onClose: () => void;
}) {
  const key = `${system} ${group}`;
  const detail = useAsked(`lag ${key}`, (signal) => api.lagOf(system, group, signal), EVERY_MS);
  const why = useAsked(`lag why ${key}`, (signal) => api.lagExplained(system, group, signal), EVERY_MS);
  const trouble = detail.trouble ?? why.trouble;
  return (
    <Dialog title={group} wide onClose={onClose}>
      {trouble !== null && <p class="note">The lag cannot be read now: {trouble}</p>}
      {detail.value !== null && <Facts of={detail.value.group} />}
      {why.value !== null && <Why of={why.value} />}
      <History system={system} group={group} />
      {detail.value !== null && system === 'kafka' && <Partitions of={detail.value.members} />}
    </Dialog>
  );
}

function Facts({ of }: { of: LagGroup }) {
  const facts: readonly (readonly [string, string])[] = [
    ['Lag', `${count(of.lag)} ${of.system === 'kafka' ? 'records' : 'messages'}`],
    [of.system === 'kafka' ? 'Time lag' : 'Age of the head', lasting(of.timeLagMs)],
    ['Grows', velocity(of.velocity)],
    ['Comes in, goes out', `${rate(of.inRate)} /s, ${rate(of.outRate)} /s`],
    ['Caught up in', of.lag === 0 ? 'now' : lasting(of.etaMs)],
    ['Consumers', `${count(of.consumers)}${of.state === null ? '' : `, ${of.state}`}`],
    ...(of.system === 'kafka'
      ? ([
          ['Retention margin', `${count(of.retentionMarginItems)} records`],
          ['Until data is lost', of.timeToLossMs === null ? UNKNOWN : span(of.timeToLossMs)],
          ['Topics', of.topics.join(', ')],
        ] as const)
      : ([['Delivered, not settled', count(of.unacked)]] as const)),
  ];
  return (
    <dl class="facts">
      <div class="fact">
        <dt class="muted">Verdict</dt>
        <dd>
          <VerdictMark verdict={of.verdict} /> <span class="muted">since {moment(Date.parse(of.since))}</span>
        </dd>
      </div>
      {facts.map(([name, value]) => (
        <div class="fact" key={name}>
          <dt class="muted">{name}</dt>
          <dd class="wrap">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Why({ of: { group, cause, others } }: { of: LagExplanation }) {
  return (
    <div data-cause={cause.cause}>
      <h3>Why</h3>
      <p>
        {group.rule.text}{' '}
        <span class="muted">
          (rule {group.rule.number}: {group.rule.name})
        </span>
      </p>
      <p>
        <strong>{cause.text}</strong> {cause.advice}
      </p>
      {others.length > 0 && (
        <ul class="course" aria-label="What else fits">
          {others.map((other) => (
            <li key={other.cause}>Also possible: {other.text}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

const LINES: readonly Line[] = [{ label: 'time lag', color: 'accent', width: 2, points: true }];

function History({ system, group }: { system: LagSystem; group: string }) {
  const asked = useAsked(
    `lag history ${system} ${group}`,
    (signal) => api.lagHistory(system, group, Date.now() - HOUR_MS, signal),
    HISTORY_MS,
  );
  if (asked.value === null)
    return (
      <p class="muted" role="status">
        {asked.trouble ?? 'Asking for the history…'}
      </p>
    );
  const { points } = asked.value;
  if (points.length === 0) return <p class="muted">Nothing was noted in the last hour.</p>;
  return (
    <div>
      <h3>The last hour</h3>
      <Chart
        data={columns(points)}
        lines={LINES}
        unit="s"
        label={`Time lag of ${group} in seconds, ${count(points.length)} points`}
        describe={(index) => told(points[index])}
      />
    </div>
  );
}

type Point = LagHistory['points'][number];
const columns = (points: readonly Point[]): uPlot.AlignedData => [
  points.map(({ at }) => Date.parse(at) / 1_000),
  points.map(({ timeLagMs }) => (timeLagMs === null ? null : timeLagMs / 1_000)),
];
const told = (point: Point | undefined): string =>
  point === undefined
    ? ''
    : `${moment(Date.parse(point.at))}: ${point.verdict}, lag ${count(point.lag)}, time lag ${lasting(point.timeLagMs)}, ` +
      `${rate(point.inRate)} /s came in, ${rate(point.outRate)} /s went out`;

function Partitions({ of }: { of: readonly LagPartition[] }) {
  const shown = of.slice(0, MOST);
  return (
    <div>
      <h3>Partitions{shown.length < of.length && `: the worst ${count(MOST)} of ${count(of.length)}`}</h3>
      <div class="table-box">
        <table class="rows" data-partitions={of.length}>
          <thead>
            <tr>
              <th scope="col">Verdict</th>
              <th scope="col">Partition</th>
              {['Lag', 'Time lag', 'Grows', 'Committed', 'End'].map((title) => (
                <th key={title} scope="col" class="num">
                  {title}
                </th>
              ))}
              <th scope="col">Consumer</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((one) => (
              <tr key={`${one.topic} ${one.partition}`} title={one.rule.text}>
                <td data-name="Verdict">
                  <VerdictMark verdict={one.verdict} />
                </td>
                <td data-name="Partition" class="wrap">
                  {one.topic} {one.partition}
                </td>
                <td data-name="Lag" class="num">
                  {count(one.lag)}
                </td>
                <td data-name="Time lag" class="num">
                  {lasting(one.timeLagMs)}
                </td>
                <td data-name="Grows" class="num">
                  {velocity(one.velocity)}
                </td>
                <td data-name="Committed" class="num">
                  {one.committed ?? UNKNOWN}
                </td>
                <td data-name="End" class="num">
                  {one.end ?? UNKNOWN}
                </td>
                <td data-name="Consumer" class="wrap">
                  {one.consumer ?? 'nobody'}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
