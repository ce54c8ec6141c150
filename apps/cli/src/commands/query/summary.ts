import type { Summary } from '@weir/api';
import { Command } from 'commander';
import { askGateway } from '../../gateway.ts';
import { figure, number, Output, type Terminal, table } from '../../output.ts';

export function summaryCommand(terminal: Terminal): Command {
  return new Command('summary')
    .description('all that is known of a device: values, windows, alerts, silence, clock and gaps')
    .argument('<device>', 'name of the device')
    .option('--levels <levels>', 'window sizes, with commas between', '10s,1m')
    .option('--site <site>', 'needed when several sites have a device of this name')
    .action(async (device: string, options) => {
      const { levels, site } = options;
      const path = `/devices/${encodeURIComponent(device)}/summary`;
      const answer = await askGateway<Summary>(options, path, { levels, site });
      new Output(terminal, options.json).result(answer, () => render(answer));
    });
}

function render(answer: Summary): string {
  const right = { align: 'right' } as const;
  const windows = answer.metrics.flatMap(({ metric, windows: own }) =>
    own.flatMap(({ level, current, lastClosed }) =>
      [lastClosed, current].flatMap((window) => (window === null ? [] : [{ metric, level, ...window }])),
    ),
  );
  return [
    ...facts(answer),
    '',
    table(
      [
        { title: 'METRIC', value: (one) => one.metric },
        { title: 'VALUE', value: (one) => (one.value === null ? null : number(one.value, 6)), ...right },
        { title: 'UNIT', value: (one) => one.unit },
        { title: 'AT', value: (one) => one.at },
      ],
      answer.metrics,
    ),
    '',
    table(
      [
        { title: 'METRIC', value: (one) => one.metric },
        { title: 'WINDOW', value: (one) => `${one.level} ${one.isClosed ? 'closed' : 'open'}` },
        { title: 'START', value: (one) => one.start },
        { title: 'COUNT', value: (one) => one.count, ...right },
        { title: 'MEAN', value: (one) => figure(one.mean), ...right },
        { title: 'MIN', value: (one) => figure(one.min), ...right },
        { title: 'MEDIAN', value: (one) => figure(one.median), ...right },
        { title: 'P99', value: (one) => figure(one.p99), ...right },
        { title: 'MAX', value: (one) => figure(one.max), ...right },
      ],
      windows,
      'No windows at these levels.',
    ),
    '',
    table(
      [
        { title: 'ALERT', value: (one) => one.state },
        { title: 'SEVERITY', value: (one) => one.severity },
        { title: 'RULE', value: (one) => one.rule },
        { title: 'METRIC', value: (one) => one.metric },
        { title: 'SINCE', value: (one) => one.startedAt },
      ],
      answer.alerts,
      'No open alerts.',
    ),
  ].join('\n');
}

function lifeOf(detector: Summary['liveness']['detector']): string {
  if (detector === null) return '';
  const { state, phi, periodMs, intervals } = detector;
  if (periodMs === null) return `heartbeats: ${state}, ${intervals} intervals known`;
  const suspicion = phi === null ? '' : `, suspicion ${number(phi, 1)} (8 is offline)`;
  return `heartbeats: ${state}, every ${number(periodMs)} ms${suspicion}`;
}

function facts({ device, site, liveness, watermark, clock, sequence, readings }: Summary): string[] {
  const lines = [
    `${device} at ${site}: ${liveness.state}`,
    liveness.lastSeen === null
      ? ''
      : `last seen ${liveness.lastSeen}${liveness.silentForSeconds === null ? '' : `, ${number(liveness.silentForSeconds)} s ago`}`,
    lifeOf(liveness.detector),
    watermark === null ? '' : `windows complete up to ${watermark}`,
    clock === null
      ? ''
      : `clock ${number(clock.offsetMs)} ms ± ${number(clock.errorMs)} ms from the edge's, drift ${number(clock.driftPpm, 1)} ppm`,
    sequence === null || sequence.last === null
      ? ''
      : `${number(sequence.missing)} sequence numbers missing, ${number(sequence.gaps)} gaps, ${number(sequence.reordered)} out of order, ${number(sequence.restarts)} restarts`,
    readings === null ? '' : `${number(readings.duplicates)} duplicates, ${number(readings.late)} too late`,
  ];
  return lines.filter((line) => line !== '');
}
