import { errorMessage } from '@weir/flow';
import { LEDGER_HOPS } from '@weir/ledger';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';
import type { Book } from './book.ts';

/** What the ledger tells: each event owns its log line and its metrics. */
export class LedgerEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #rounds;
  readonly #adopted;
  #residual = 0;
  #failure = '';

  constructor(log: Logger, metrics: Metrics, book: Book) {
    this.#log = log;
    this.#rounds = metrics.counter('weir_ledger_rounds_total', 'Rounds of the ledger by their outcome', [
      'what',
      'outcome',
    ]);
    this.#adopted = metrics.counter(
      'weir_ledger_objects_adopted_total',
      'Archive objects that nobody had entered in the manifest',
    );
    metrics.gauge(
      'weir_ledger_residual',
      'Readings that are missing and that nobody has taken note of',
      ['hop'],
      (gauge) => {
        // Nothing is shown before it is known: 0 would say that it balances.
        for (const { hop, residual } of book.balance?.hops ?? []) gauge.set({ hop }, residual);
      },
    );
    metrics.gauge('weir_ledger_in_flight', 'Readings on their way from this hop', ['hop'], (gauge) => {
      gauge.reset();
      for (const { hop, inFlight } of book.balance?.hops ?? [])
        if (inFlight !== null) gauge.set({ hop }, inFlight);
    });
  }

  balanced(book: Book): void {
    this.#rounds.inc({ what: 'balance', outcome: 'done' });
    const { balance } = book;
    if (balance === null || balance.residual === this.#residual) return;
    this.#residual = balance.residual;
    const hops = LEDGER_HOPS.map((hop) => balance.hops.find((one) => one.hop === hop)?.residual);
    const facts = {
      residual: balance.residual,
      ...Object.fromEntries(LEDGER_HOPS.map((hop, i) => [hop, hops[i]])),
    };
    if (balance.residual === 0) this.#log.info(facts, 'the ledger balances again');
    else this.#log.error(facts, 'the ledger does not balance: acknowledged readings are missing');
  }
  /** Why there is no balance yet, as a sentence. */
  get whyUnknown(): string {
    const why = this.#failure === '' ? '' : `: ${this.#failure}`;
    return `The ledger has not been balanced yet${why}.`;
  }
  failed(what: 'balance' | 'archive', error: unknown): void {
    if (what === 'balance') this.#failure = errorMessage(error).replace(/\.$/, '');
    this.#rounds.inc({ what, outcome: 'failed' });
    this.#limited(what, (suppressed) =>
      this.#log.warn({ suppressed }, `${what} of the ledger: ${errorMessage(error)}; trying again`),
    );
  }
  compared(): void {
    this.#rounds.inc({ what: 'archive', outcome: 'done' });
  }
  objectsMissing(keys: readonly string[]): void {
    this.#log.error({ objects: keys.length, first: keys[0] }, 'archive objects are missing');
  }
  objectsBack(keys: readonly string[]): void {
    this.#log.info({ objects: keys.length, first: keys[0] }, 'archive objects are there again');
  }
  objectsAdopted(objects: number): void {
    this.#adopted.inc(objects);
    this.#log.debug({ objects }, 'archive objects entered that nobody had entered');
  }
  alerted({ opened, resolved }: { readonly opened: number; readonly resolved: number }): void {
    if (opened > 0) this.#log.info({ opened }, 'an alert of the ledger was raised');
    if (resolved > 0) this.#log.info({ resolved }, 'an alert of the ledger was resolved');
  }
}
