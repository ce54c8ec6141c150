/** Key of a cached query answer; `namespace` as in `kafkaTopology`. */
export function cacheKey(namespace: string, query: string): string {
  return `${namespace === '' ? 'weir' : `weir:${namespace}`}:cache:${query}`;
}
