/**
 * Calls `work` now and `everyMs` after each end, while the page is visible; a failure doubles the pause up to 15 s.
 * Returns a function that ends it and aborts what is under way.
 */
export function poll(work: (signal: AbortSignal) => Promise<void>, everyMs: number): () => void {
  const abort = new AbortController();
  let timer: number | undefined;
  let failures = 0;
  const run = async (): Promise<void> => {
    timer = undefined;
    try {
      await work(abort.signal);
      failures = 0;
    } catch {
      // `work` has told the page; here it only slows down.
      failures++;
    }
    if (!abort.signal.aborted && !document.hidden) {
      timer = window.setTimeout(run, Math.min(15_000, everyMs * 2 ** Math.min(failures, 3)));
    }
  };
  const onVisible = (): void => {
    if (document.hidden || timer !== undefined || abort.signal.aborted) return;
    timer = window.setTimeout(run, 0);
  };
  document.addEventListener('visibilitychange', onVisible);
  void run();
  return () => {
    abort.abort();
    window.clearTimeout(timer);
    document.removeEventListener('visibilitychange', onVisible);
  };
}
