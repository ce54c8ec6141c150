/** Counters of a queue at one moment. */
export interface QueueCounters {
  /** Messages in it, delivered ones that are not acknowledged too. */
  readonly depth: number;
  /** Messages that have left it in consumers' hands since the broker counts; it may begin anew. */
  readonly done: number;
}

/** A queue as a log: messages get numbers in the order in which they came, from the first measurement on. */
export interface QueuePlace {
  readonly counters: QueueCounters;
  /** Number of the message at the head. */
  readonly head: number;
  /** Number after the last message. */
  readonly end: number;
}

/**
 * The place after another measurement. What came in is what the queue grew by and what left it; what vanished without
 * a consumer (expired, purged, dropped at its head) moves the head and counts as nothing that came. Neither head nor end
 * ever goes back.
 */
export function queuePlace(before: QueuePlace | null, counters: QueueCounters): QueuePlace {
  if (before === null) return { counters, head: 0, end: counters.depth };
  const done = counters.done < before.counters.done ? counters.done : counters.done - before.counters.done;
  const came = Math.max(0, counters.depth - before.counters.depth + done);
  const end = before.end + came;
  return { counters, head: end - counters.depth, end };
}
