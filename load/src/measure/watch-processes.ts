import { statOf } from '@weir/infra';
import type { ProcessReport, ProcessSecond } from '../report/report.ts';

const SECOND = 1_000;

/** Looks at CPU and memory of some processes once a second. */
export class ProcessWatch {
  readonly #processes: ReadonlyMap<string, number>;
  readonly #course = new Map<string, ProcessSecond[]>();
  readonly #before = new Map<string, { readonly cpu: number; readonly at: number }>();
  readonly #startAt: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(processes: ReadonlyMap<string, number>, startAt: number) {
    this.#processes = processes;
    this.#startAt = startAt;
  }

  start(): void {
    this.#look();
    this.#timer = setInterval(() => this.#look(), SECOND);
  }

  stop(): readonly ProcessReport[] {
    clearInterval(this.#timer);
    return [...this.#course].map(([name, course]) => ({
      name,
      cpuSeconds: sum(course.map(({ cpu, at }, i) => cpu * (at - (course[i - 1]?.at ?? 0)))),
      rssMiB: {
        first: course[0]?.rssMiB ?? 0,
        last: course.at(-1)?.rssMiB ?? 0,
        max: course.reduce((max, { rssMiB }) => Math.max(max, rssMiB), 0),
      },
      growthMiBPerMinute: growth(course.slice(course.length >> 1)),
      course,
    }));
  }

  #look(): void {
    const now = Date.now();
    for (const [name, pid] of this.#processes) {
      const use = statOf(pid);
      if (use === undefined) continue;
      const before = this.#before.get(name);
      this.#before.set(name, { cpu: use.cpuSeconds, at: now });
      if (before === undefined) continue;
      const course = this.#course.get(name) ?? [];
      this.#course.set(name, course);
      const seconds = Math.max(0.001, (now - before.at) / SECOND);
      course.push({
        at: (now - this.#startAt) / SECOND,
        cpu: (use.cpuSeconds - before.cpu) / seconds,
        rssMiB: use.rssMiB,
      });
    }
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Slope of the resident memory by least squares, MiB a minute. */
function growth(course: readonly ProcessSecond[]): number {
  const n = course.length;
  if (n < 2) return 0;
  const meanAt = sum(course.map(({ at }) => at)) / n;
  const meanRss = sum(course.map(({ rssMiB }) => rssMiB)) / n;
  const above = sum(course.map(({ at, rssMiB }) => (at - meanAt) * (rssMiB - meanRss)));
  const below = sum(course.map(({ at }) => (at - meanAt) ** 2));
  return below === 0 ? 0 : (60 * above) / below;
}
