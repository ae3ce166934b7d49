// Calls with any number of responses.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, number, REQUEST, text } from './fake-websocket.mjs';
import { Codes, connected, rejectsWith } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

/** A client, its socket, and a call that the server has received. */
async function calling(options) {
  const { client, socket } = await connected();
  const responses = client.callStream('ticks', { from: 1 }, options);
  const [{ id, request, body }] = await socket.commands();
  assert.equal(request, REQUEST.call);
  assert.deepEqual([...body], [...text(1, 'ticks'), ...text(3, '{"from":1}')]);
  return { client, socket, responses, id, respond: (data, more = 1) => socket.receive(frame(id, ANSWER.called, [...text(2, data), ...number(3, more)])) };
}

const isCancelled = async (socket, id) => {
  const [cancel] = await socket.commands();
  assert.deepEqual([cancel.request, ...cancel.body], [REQUEST.cancel, ...number(1, id)]);
};

test('responses come in order until the end', async () => {
  const { client, socket, responses, id, respond } = await calling();
  respond('1');
  respond('{"n":2}');
  socket.receive(frame(id, ANSWER.called, []));
  const heard = [];
  for await (const response of responses) heard.push(response);
  assert.deepEqual(heard, [1, { n: 2 }]);
  assert.deepEqual(await socket.commands(), []);
  await client.close();
});

test('leaving the loop cancels the call on the server', async () => {
  const { client, socket, responses, id, respond } = await calling();
  respond('1');
  for await (const response of responses) {
    assert.equal(response, 1);
    break;
  }
  await isCancelled(socket, id);
  respond('2');
  assert.deepEqual(await responses.next(), { value: undefined, done: true });
  await client.close();
});

test('an aborted signal ends the loop and the call', async () => {
  const abort = new AbortController();
  const { client, socket, responses, id, respond } = await calling({ signal: abort.signal });
  respond('1');
  abort.abort();
  assert.equal((await responses.next()).value, 1);
  await rejectsWith(responses.next(), Codes.ABORTED);
  await isCancelled(socket, id);
  await client.close();
});

test("the server's error, a lost connection and an unreadable response come out of the loop", async () => {
  for (const [end, code] of [
    [({ socket, id }) => socket.receive(frame(id, ANSWER.error, [...number(1, Codes.INTERNAL), ...text(2, 'no more')])), Codes.INTERNAL],
    [({ socket }) => socket.end(1006), Codes.CONNECTION_LOST],
    [({ respond }) => respond('{'), Codes.PAYLOAD_MISMATCH],
    [({ client }) => client.close(), Codes.CLOSED],
  ]) {
    const call = await calling();
    call.respond('1');
    end(call);
    assert.equal((await call.responses.next()).value, 1);
    await rejectsWith(call.responses.next(), code);
    assert.equal((await call.responses.next()).done, true);
    await call.client.close();
  }
});

test('responses that are not read end the call', async () => {
  const { client, socket, responses, id, respond } = await calling({ queue: { bytes: 300 } });
  for (const data of ['1', '2', '3']) respond(data);
  await isCancelled(socket, id);
  assert.deepEqual([(await responses.next()).value, (await responses.next()).value], [1, 2]);
  await rejectsWith(responses.next(), Codes.OVERFLOW);
  await client.close();
});

test('an error of sending comes out of the loop too', async () => {
  const { client, socket } = await connected();
  await rejectsWith(client.callStream('ticks', undefined).next(), Codes.PAYLOAD_MISMATCH);
  await rejectsWith(client.callStream('ticks', 1, { signal: AbortSignal.abort() }).next(), Codes.ABORTED);
  await client.close();
  await rejectsWith(client.callStream('ticks', 1).next(), Codes.CLOSED);
  assert.deepEqual(await socket.commands(), []);
});
