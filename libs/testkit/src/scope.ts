/** A test (`t`), or a whole file (`after` of node:test wrapped as `{ after }`): whatever tidies up when it ends. */
export interface Scope {
  after(tidy: () => Promise<void>): void;
  /** False once the test has failed; node:test sets it before the tidying begins. */
  readonly passed?: boolean;
}

type Tidy = () => Promise<void> | void;
const pending = new WeakMap<Scope, Tidy[]>();

/**
 * Runs `tidy` when the scope ends, the last registered first, so that an app ends before the servers' namespace that
 * it uses goes. Every tidy runs, also after one that failed; the failures are thrown together.
 */
export function atEnd(scope: Scope, tidy: Tidy): void {
  const known = pending.get(scope);
  if (known !== undefined) {
    known.push(tidy);
    return;
  }
  const all = [tidy];
  pending.set(scope, all);
  scope.after(async () => {
    const failures: unknown[] = [];
    for (let next = all.pop(); next !== undefined; next = all.pop()) {
      try {
        await next();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1)
      throw new AggregateError(failures, 'tidying up after the test failed in several places');
  });
}
