import type { LagGroup, LagList } from '@weir/api';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { count, moment, span } from '../format.ts';
import { VerdictMark } from '../parts/icons.tsx';
import { amend, query } from '../route.ts';
import { now } from '../state.ts';
import { LagDialog } from './detail.tsx';
import { lasting, velocity } from './figures.ts';

const EVERY_MS = 3_000;

/** How far every consumer group and queue is behind, worst first. */
export function LagPage() {
  const { value, trouble } = useAsked('lag', api.lag, EVERY_MS);
  const system = query.value.get('system');
  const group = query.value.get('group');
  return (
    <section aria-labelledby="lag-title">
      <div class="section-head">
        <h1 id="lag-title">Lag</h1>
        <p role="status">{value === null ? '' : counted(value)}</p>
      </div>
      {trouble !== null && <p class="note">The lag cannot be read now: {trouble}</p>}
      {value?.problems.map((problem) => (
        <p key={problem.system} class="note">
          {problem.system} cannot be measured for {span(now.value - Date.parse(problem.since))}:{' '}
          {problem.message}
        </p>
      ))}
      {value !== null && value.left > 0 && (
        <p class="note">
          {count(value.left)} partitions are not watched: more than lagMonitor.maxPartitions.
        </p>
      )}
      {value?.groups.length === 0 && <p class="empty">No consumer group and no queue is watched.</p>}
      {value !== null && value.groups.length > 0 && <Table groups={value.groups} />}
      {(system === 'kafka' || system === 'rabbitmq') && group !== null && (
        <LagDialog
          key={`${system} ${group}`}
          system={system}
          group={group}
          onClose={() => amend({ system: '', group: '' })}
        />
      )}
    </section>
  );
}

function counted({ groups }: LagList): string {
  const well = groups.filter(({ verdict }) => verdict === 'OK').length;
  return well === groups.length
    ? `All ${count(well)} are well.`
    : `${count(well)} of ${count(groups.length)} are well.`;
}

function Table({ groups }: { groups: readonly LagGroup[] }) {
  return (
    <div class="table-box">
      <table class="rows" data-lag={groups.length}>
        <thead>
          <tr>
            <th scope="col">Verdict</th>
            <th scope="col">Group or queue</th>
            {['Lag', 'Time lag', 'Grows', 'Caught up in', 'Margin'].map((title) => (
              <th key={title} scope="col" class="num">
                {title}
              </th>
            ))}
            <th scope="col">Since</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((one) => (
            <Row key={`${one.system} ${one.group}`} of={one} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ of }: { of: LagGroup }) {
  const since = Date.parse(of.since);
  return (
    <tr data-group={of.group} data-verdict={of.verdict}>
      <td data-name="Verdict">
        <VerdictMark verdict={of.verdict} />
      </td>
      <td data-name="Name">
        <button
          type="button"
          class="link-button"
          onClick={() => amend({ system: of.system, group: of.group })}
        >
          {of.group}
        </button>
        <span class="muted small">
          {' '}
          {of.system}
          {of.ours ? '' : ', not ours'}
        </span>
      </td>
      <td data-name="Lag" class="num">
        {count(of.lag)}
      </td>
      <td data-name="Time lag" class="num">
        {lasting(of.timeLagMs)}
      </td>
      <td data-name="Grows" class="num">
        {velocity(of.velocity)}
      </td>
      <td data-name="Caught up" class="num">
        {of.lag === 0 ? 'now' : lasting(of.etaMs)}
      </td>
      <td data-name="Margin" class="num">
        {count(of.system === 'kafka' ? of.retentionMarginItems : null)}
        {of.timeToLossMs !== null && <span class="muted small"> / {span(of.timeToLossMs)}</span>}
      </td>
      <td data-name="Since">
        <time dateTime={of.since} title={moment(since)}>
          {span(now.value - since)}
        </time>
      </td>
    </tr>
  );
}
