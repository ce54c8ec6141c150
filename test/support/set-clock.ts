// Loaded before an app (see host-clock.ts): its wall clock is as far from the true one as TEST_CLOCK_FILE says.
import { readFileSync } from 'node:fs';

const file = process.env.TEST_CLOCK_FILE ?? '';
const RealDate = Date;
const realNow = Date.now;
let aheadMs = 0;

const read = (): void => {
  const said = Number(readFileSync(file, 'utf8'));
  if (Number.isFinite(said)) aheadMs = said;
};
read();
setInterval(read, 20).unref();

RealDate.now = () => realNow() + aheadMs;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, self) =>
    Reflect.construct(target, given.length === 0 ? [RealDate.now()] : given, self) as Date,
  apply: () => new RealDate(RealDate.now()).toString(),
});
