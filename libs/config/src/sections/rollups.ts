import { z } from 'zod';
import { nearest } from '../nearest.ts';
import { names } from '../units.ts';

/** Ways to group devices that need no tag. */
const FLEET = 'fleet';
const SITE = 'site';

const TAG = /^[a-z][a-z0-9_-]{0,31}$/;
const tagValue = z
  .string()
  .max(64)
  .regex(/^[^\p{C}\p{Z}"\\/=]+$/u, 'no spaces, quotes, / or =');

function checkTags(tags: Readonly<Record<string, string>>, context: z.RefinementCtx): void {
  const refuse = (tag: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [tag], message });
  for (const tag of Object.keys(tags)) {
    if (tag === FLEET || tag === SITE) refuse(tag, 'fleet and site mean something else; take another name');
    else if (!TAG.test(tag))
      refuse(tag, 'a tag begins with a lower-case letter; then letters, digits, - and _');
  }
}

export const devicesSection = z
  .array(
    z.strictObject({
      match: z
        .string()
        .regex(/^[^/\s]+\/[^/\s]+$/, 'a site and a device such as "plant-1/pump-*"; * stands for any text')
        .describe('Site and device; * stands for any text within one of the two'),
      tags: z
        .record(z.string(), tagValue)
        .superRefine(checkTags)
        .describe('Tags of these devices; of equal ones the last pattern counts'),
    }),
  )
  .default([])
  .describe('Tags of devices by site and device: list of {match: "plant-1/pump-*", tags: {line: a}}');

export const rollupsSection = z
  .strictObject({
    by: names()
      .default([SITE, FLEET])
      .describe(
        'Groups of devices with windows of their own: fleet, site, a tag, or several such as site+line',
      ),
  })
  .prefault({});

interface Grouped {
  readonly devices: z.output<typeof devicesSection>;
  readonly rollups: z.output<typeof rollupsSection>;
}

/** Every grouping names the fleet, sites and tags that some device has, each once. */
export function checkRollups({ devices, rollups }: Grouped, context: z.RefinementCtx): void {
  const known = new Set([SITE, ...devices.flatMap(({ tags }) => Object.keys(tags))]);
  rollups.by.forEach((by, i) => {
    const refuse = (message: string): void =>
      context.addIssue({ code: 'custom', path: ['rollups', 'by', i], message });
    if (rollups.by.indexOf(by) < i) refuse(`"${by}" stands here twice`);
    if (by === FLEET) return;
    const parts = by.split('+');
    if (new Set(parts).size < parts.length) refuse(`"${by}" names one thing twice`);
    for (const part of parts) {
      if (known.has(part)) continue;
      if (part === FLEET) refuse(`"${by}": the fleet is all devices and cannot be divided with +`);
      else {
        const guess = nearest(part, [FLEET, ...known]);
        refuse(
          `no device has a tag "${part}"${guess === undefined ? '; tags are given under "devices"' : `; did you mean "${guess}"?`}`,
        );
      }
    }
  });
}
