import type { Delivery } from '@weir/connect-rabbitmq';

/**
 * A message as lines of JSON that can stand alone: each reading with its site, metric and class, an event with its
 * routing key. What is no JSON object is wrapped as text.
 */
export function linesOf({ key, headers, body }: Delivery): string {
  const { site, metric, class: readingClass } = headers;
  const head = key.startsWith('telemetry.') ? { site, metric, class: readingClass } : { key };
  const start = JSON.stringify(head).slice(0, -1);
  let out = '';
  for (const line of body.toString('utf8').split('\n')) {
    if (line === '') continue;
    const isObject = line.startsWith('{') && line.length > 2;
    out += isObject ? `${start},${line.slice(1)}\n` : `${start},"text":${JSON.stringify(line)}}\n`;
  }
  return out;
}
