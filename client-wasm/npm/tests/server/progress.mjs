// The progress of a large message, against the server.

import assert from 'node:assert/strict';

/** Checks the steps, each with the sent bytes and all, of a message of that size: they increase up to the whole. */
export function checkSteps(steps, size) {
  assert.ok(steps.length > 1, `${steps.length} steps`);
  const [last, total] = steps.at(-1);
  assert.ok(last === total && total > size && total < size + 200, `${last} of ${total}`);
  assert.ok(steps.every(([sent], at) => at === 0 || sent > steps[at - 1][0]), `${steps}`);
}
