import { createHash } from 'node:crypto';

/** Tags of the devices that a pattern matches. */
export interface DeviceTags {
  /** `site/device`; `*` stands for any text within one of the two. */
  readonly match: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** One way to put devices into groups; each metric of a group has roll-ups of its own. */
export interface Grouping {
  /** `fleet`, or the names of what members have in common, joined by `+`: `site`, `line`, `site+line`. */
  readonly by: string;
  /** Follows from what decides who belongs to which group: another definition is another grouping. */
  readonly definition: string;
  /** Name of the group of a device: `fleet`, `site=plant-1`, `site=plant-1/line=a`; null when a tag is missing. */
  groupOf(site: string, device: string): string | null;
}

export const FLEET = 'fleet';
export const SITE = 'site';

/**
 * The groupings of a configuration. Of several patterns that give a device the same tag, the last one counts.
 * @param by as in `Grouping.by`
 */
export function groupings(by: readonly string[], devices: readonly DeviceTags[]): readonly Grouping[] {
  return by.map((name) => {
    if (name === FLEET) return { by: name, definition: fingerprint([FLEET]), groupOf: () => FLEET };
    const keys = name.split('+');
    const rules = devices.flatMap(({ match, tags }) => {
      const used = keys.filter((key) => key !== SITE && tags[key] !== undefined);
      if (used.length === 0) return [];
      return [
        { match, pattern: patternOf(match), tags: used.map((key) => [key, tags[key] as string] as const) },
      ];
    });
    return {
      by: name,
      definition: fingerprint([keys, rules.map(({ match, tags }) => [match, tags])]),
      groupOf(site, device) {
        const found = new Map<string, string>([[SITE, site]]);
        const full = `${site}/${device}`;
        for (const { pattern, tags } of rules)
          if (pattern.test(full)) for (const [key, value] of tags) found.set(key, value);
        if (keys.some((key) => !found.has(key))) return null;
        return keys.map((key) => `${key}=${found.get(key)}`).join('/');
      },
    };
  });
}

/** A pattern of `site/device`; `*` stands for any text within one of the two. */
export function patternOf(match: string): RegExp {
  const escaped = match.replace(/[\\^$.|?+()[\]{}]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(`^${escaped}$`, 'u');
}

const fingerprint = (definition: unknown): string =>
  createHash('sha256').update(JSON.stringify(definition)).digest('hex').slice(0, 16);
