export { type Cache, type CacheOptions, openCache } from './cache.ts';
