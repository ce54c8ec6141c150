import { z } from 'zod';

export const isZone = (name: string): boolean => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
};
/** Names to IANA time zones, also from a text such as "plant-1=Europe/Berlin,plant-2=Asia/Tokyo". */
export const zones = () =>
  z
    .preprocess(
      (value) =>
        typeof value === 'string'
          ? Object.fromEntries(
              value
                .split(',')
                .filter((part) => part.trim() !== '')
                .map((part) => {
                  const [name = '', zone = ''] = part.split('=');
                  return [name.trim(), zone.trim()];
                }),
            )
          : value,
      z.record(
        z.string().min(1),
        z.string().refine(isZone, {
          error: ({ input }) => `"${String(input)}" is no IANA time zone, such as Europe/Berlin`,
        }),
      ),
    )
    .meta({ type: 'site → zone' });
