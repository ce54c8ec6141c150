/**
 * kafkajs arms a timer with a negative delay (its throttle deadline starts at -1), and Node warns about it once.
 * That one warning is harmless and dropped by its name; every other warning passes.
 */
const emitWarning = process.emitWarning;
process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
  const named = rest[0] as string | { type?: string } | undefined;
  const name = typeof named === 'object' ? named?.type : named;
  if (name === 'TimeoutNegativeWarning') return;
  Reflect.apply(emitWarning, process, [warning, ...rest]);
}) as typeof process.emitWarning;

export {};
