// The names of codes, beside their numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CloseCodes, Codes, StateChangeEvent, UnsubscribedEvent, WirehubError } from '../dist/index.js';

test('an error has the name of its code', () => {
  for (const [name, code] of Object.entries(Codes)) assert.equal(new WirehubError(code).codeName, name);
  assert.equal(new WirehubError(1234).codeName, undefined);
});

test('the end of a connection and of a subscription has the name of its code', () => {
  for (const [name, code] of Object.entries(CloseCodes)) {
    assert.equal(new StateChangeEvent({ state: 'reconnecting', previous: 'connected', code }).codeName, name);
  }
  assert.equal(new StateChangeEvent({ state: 'connected', previous: 'connecting' }).codeName, undefined);
  assert.equal(new UnsubscribedEvent(new WirehubError(Codes.UNKNOWN_CHANNEL)).codeName, 'UNKNOWN_CHANNEL');
  assert.equal(new UnsubscribedEvent().codeName, undefined);
});
