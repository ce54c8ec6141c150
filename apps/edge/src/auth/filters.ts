/** Whether `filter` matches `topic` ([MQTT-4.7]); a wildcard first level matches no `$` topic ([MQTT-4.7.2-1]). */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (let i = 0; i < wanted.length; i++) {
    const part = wanted[i];
    if (part === '#') return true;
    if (i >= levels.length || (part !== '+' && part !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

/** Whether every topic that `requested` can match is also matched by `allowed`. */
export function covers(allowed: string, requested: string): boolean {
  const wide = allowed.split('/');
  const narrow = requested.split('/');
  if (requested.startsWith('$') && (wide[0] === '+' || wide[0] === '#')) return false;
  for (let i = 0; i < wide.length; i++) {
    const part = wide[i];
    if (part === '#') return true;
    const level = narrow[i];
    if (level === undefined || level === '#') return false;
    if (part !== '+' && part !== level) return false;
  }
  return wide.length === narrow.length;
}
