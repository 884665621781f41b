import { setTimeout as pause } from 'node:timers/promises';

/** Asks again and again until the answer is truthy, and returns it. An error counts as "not yet". */
export async function until(what, ask, { deadline = 10_000 } = {}) {
  const end = Date.now() + deadline;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`not within ${deadline} ms: ${what}`, { cause: last });
    }
    await pause(20);
  }
}
