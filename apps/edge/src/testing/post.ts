import { type Rig, SECRET } from './rig.ts';

export const basic = (device: string, secret = SECRET) =>
  `Basic ${Buffer.from(`${device}:${secret}`).toString('base64')}`;
/** Posts to the HTTP door as device d1. */
export function post(
  rig: Rig,
  path: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${rig.url}${path}`, {
    method: 'POST',
    body: body as string,
    headers: { 'content-type': 'application/json', authorization: basic('d1'), ...headers },
  });
}
