import type { Ledger } from '@weir/api';
import type { Balance, HopBalance, LedgerHop, Loss } from '@weir/ledger';

const MOST_LOSSES = 100;
/** A residual that lasts for so long becomes an alert: whatever is only between two questions is over by then. */
const ALARM_MS = 20_000;

/** What is told beside a balance. */
interface Around extends Pick<Ledger, 'flows'> {
  /** When the ledger began, epoch milliseconds. */
  readonly began: number;
  readonly unanswered: readonly string[];
}

/** The newest balance, and since when each hop has a residual. */
export class Book {
  #balance: Balance | null = null;
  #at = 0;
  #around: Around = { began: 0, unanswered: [], flows: [] };
  readonly #since = new Map<LedgerHop, number>();

  get balance(): Balance | null {
    return this.#balance;
  }

  /** @param now epoch milliseconds */
  enter(balance: Balance, around: Around, now: number): void {
    this.#balance = balance;
    this.#at = now;
    this.#around = around;
    for (const { hop, residual } of balance.hops) {
      if (residual === 0) this.#since.delete(hop);
      else if (!this.#since.has(hop)) this.#since.set(hop, now);
    }
  }

  /** Hops whose residual has lasted, and since when (epoch milliseconds). */
  get alarms(): readonly (HopBalance & { readonly since: number; readonly text: string })[] {
    return (this.#balance?.hops ?? []).flatMap((hop) => {
      const since = this.#since.get(hop.hop);
      if (since === undefined || this.#at - since < ALARM_MS) return [];
      return { ...hop, since, text: hopText(hop, this.lossesOf(hop.hop)) };
    });
  }

  lossesOf(hop: LedgerHop): readonly Loss[] {
    return (this.#balance?.losses ?? []).filter((loss) => loss.hop === hop);
  }

  /** null before the first balance. */
  get current(): Ledger | null {
    const balance = this.#balance;
    if (balance === null) return null;
    const open = (loss: Loss): number => loss.readings - loss.acknowledged;
    return {
      at: new Date(this.#at).toISOString(),
      began: new Date(this.#around.began).toISOString(),
      residual: balance.residual,
      text: ledgerText(balance, this.#around.unanswered),
      hops: balance.hops.map((hop) => ({
        ...hop,
        unit: UNITS[hop.hop],
        text: hopText(hop, this.lossesOf(hop.hop)),
      })),
      losses: [...balance.losses].sort((a, b) => open(b) - open(a)).slice(0, MOST_LOSSES),
      totals: balance.totals,
      flows: this.#around.flows,
      unanswered: [...this.#around.unanswered],
    };
  }
}

const number = (n: number): string => n.toLocaleString('en-US');
const UNITS: Readonly<Record<LedgerHop, Ledger['hops'][number]['unit']>> = {
  ...{ spool: 'readings', kafka: 'readings', archive: 'readings' },
  'dead-letters': 'letters',
};
const WORDS = {
  readings: ['reading', 'readings'],
  letters: ['dead letter', 'dead letters'],
} as const;
/** So many readings or dead letters, in words. */
const of = (n: number, hop: LedgerHop = 'kafka'): string =>
  `${number(n)} ${WORDS[UNITS[hop]][n === 1 ? 0 : 1]}`;

const BALANCED: Readonly<Record<LedgerHop, string>> = {
  spool: 'Everything that the edges acknowledged was sent, or is known as dropped or refused.',
  kafka: 'Everything that was sent to Kafka is in the windows, or on its way.',
  archive: 'Every object that was archived is there.',
  'dead-letters': 'Every dead letter of Kafka is in the index, or waits for it.',
};

function hopText({ hop, residual, lost }: HopBalance, losses: readonly Loss[]): string {
  const noted = lost - residual;
  const known = noted === 0 ? '' : ` (${number(noted)} more are missing and were taken note of)`;
  if (residual === 0)
    return noted === 0 ? BALANCED[hop] : `${of(noted, hop)} are missing and were taken note of.`;
  const open = losses.filter((loss) => loss.readings > loss.acknowledged);
  const one = open.length === 1 ? open[0] : undefined;
  const places = new Set(open.map(({ partition }) => partition)).size;
  const what: Readonly<Record<LedgerHop, string>> = {
    spool: `${of(residual)} that ${one?.edge ?? `${open.length} edges`} had acknowledged never left its spool`,
    kafka: `${of(residual)} went to Kafka ${one === undefined ? `(${places} partitions)` : `(partition ${one.partition})`} and never came into the windows`,
    'dead-letters': `${of(residual, hop)} left Kafka ${one === undefined ? `(${places} partitions)` : `(partition ${one.partition})`} without having been indexed`,
    archive: `${of(residual)} were archived and are gone: ${one?.object ?? `${open.length} objects are missing`}`,
  };
  return `${what[hop]}${known}.`;
}

function ledgerText({ residual, hops }: Balance, unanswered: readonly string[]): string {
  const unknown = unanswered.length === 0 ? '' : ` Not known at the moment: ${unanswered.join('; ')}.`;
  if (residual > 0) {
    const isLetters = hops.every((hop) => hop.residual === 0 || hop.hop === 'dead-letters');
    const where = hops
      .filter((hop) => hop.residual > 0)
      .map((hop) => `${number(hop.residual)} at ${hop.hop}`);
    const what = of(residual, isLetters ? 'dead-letters' : 'kafka');
    return `${what} ${residual === 1 ? 'is' : 'are'} missing: ${where.join(', ')}.${unknown}`;
  }
  const flying = hops.reduce((sum, { inFlight }) => sum + (inFlight ?? 0), 0);
  return `The ledger balances${flying === 0 ? '' : `; ${of(flying)} are on their way`}.${unknown}`;
}
