export { type Client, type ClientOptions, openClient } from './client.ts';
export { encodePublish, encodeTopic, type PublishOptions } from './frames.ts';
export { Link, type LinkHandlers, type LinkOptions } from './link.ts';
