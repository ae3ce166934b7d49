// The description of the HTTP API: it conforms to the standard, and the server does exactly what it describes.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { API_KEY, Client, start } from './server.mjs';

/** Statuses that take half a minute or a broken engine. The server's own tests check them. */
const SEEN_ELSEWHERE = ['408', '503'];
/** Answers of the engine on disk, which this server does not have. The tests of the program check them. */
const OF_THE_DISK = ['POST /backup 202', 'POST /backup 409', 'GET /backup 200'];
const NOBODY = 'AAAAAAAAAAAAAAAAAAAAAA';

let server;
let document;

before(async () => {
  server = await start();
  document = JSON.parse((await ask('GET', '/openapi.json', { key: '' })).text);
});

after(() => server?.stop());

/** Sends a request. A `body` that is a text is sent unchanged. */
function ask(method, path, { key = API_KEY, body, type = 'application/json' } = {}) {
  return new Promise((resolve, reject) => {
    const [host, port] = server.host.split(':');
    const content = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const headers = { Authorization: `Bearer ${key}` };
    if (content !== undefined) {
      Object.assign(headers, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(content), Expect: '100-continue' });
    }
    const sent = request({ agent: false, host, port, method, path: `/api/v1${path}`, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => {
        sent.destroy();
        resolve({ status: String(response.statusCode), type: response.headers['content-type'], text });
      });
    });
    sent.on('error', reject);
    // The server may refuse a body by its length alone without reading it, so it is asked first.
    sent.on('continue', () => sent.end(content));
    // Without a body the request is sent in one piece. A second piece may find the connection closed, because the
    // answer does not need it.
    if (content === undefined) sent.end();
    else sent.flushHeaders();
  });
}

test('the description keeps to OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.deepEqual({ valid, errors }, { valid: true, errors: undefined });
});

test('every answer that is described is given, as it is described', async () => {
  const client = await Client.connect(server, 'ann', ['kept:a', 'plain']);
  await client.ask({ publish: { channel: 'kept:a', data: { by: 'ann' } } });
  const raised = await ask('POST', '/alarms', { body: { channel: 'kept:a', data: 'fire', users: ['ann', 'bob'] } });
  const seen = new Set();
  for (const [operation, requests] of Object.entries(requestsOf(client.session, JSON.parse(raised.text).alarm))) {
    const [method, template] = operation.split(' ');
    const described = document.paths[template]?.[method.toLowerCase()];
    assert.ok(described !== undefined, `${operation} is described`);
    for (const options of [...requests, ...wrong(described, requests[0])]) {
      seen.add(`${operation} ${await checked(method, template, described, options)}`);
    }
  }
  for (let number = 0; number < 1000; number += 1) await ask('POST', '/alarms', { body: { channel: 'kept:a', data: number } });
  const { post } = document.paths['/alarms'];
  seen.add(`POST /alarms ${await checked('POST', '/alarms', post, { body: { channel: 'kept:a', data: 'too many' } })}`);

  const promised = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { responses }]) =>
      Object.keys(responses)
        .filter((status) => !SEEN_ELSEWHERE.includes(status))
        .map((status) => `${method.toUpperCase()} ${path} ${status}`)
        .filter((answer) => !OF_THE_DISK.includes(answer)),
    ),
  );
  assert.deepEqual([...seen].sort(), promised.sort());
});

/** For each operation the requests that it carries out or refuses in ways of its own; the first one succeeds. */
function requestsOf(session, alarm) {
  return {
    'POST /publish': [
      { body: { channel: 'kept:a', data: 1 } },
      { body: { channel: 'plain', bytes: 'AAEC' } },
      { body: { channel: 'two words', data: 1 } },
    ],
    'POST /batch': [
      { body: { publications: [{ channel: 'kept:a', data: 1 }, { channel: 'two words', data: 1 }] } },
      { body: { publications: Array(1001).fill({ channel: 'a', data: 1 }) } },
    ],
    'POST /broadcast': [{ body: { data: 'for all' } }, { body: {} }],
    'POST /send': [{ body: { user: 'ann', data: 'for ann' } }, { body: { user: 'ann' } }],
    'GET /stats': [{}],
    'POST /backup': [{ body: { name: 'monday' } }],
    'GET /backup': [{}],
    'GET /nodes': [{}, { path: '/nodes?limit=1' }, { path: '/nodes?after=nowhere' }],
    'GET /channels': [{}, { path: '/channels?limit=1&prefix=kept:' }, { path: '/channels?limit=1' }, { path: '/channels?limit=many' }],
    'GET /channels/{channel}/presence': [{ path: '/channels/kept:a/presence' }, { path: '/channels/%FF/presence' }],
    'GET /channels/{channel}/history': [
      { path: '/channels/kept:a/history?limit=5&reverse=true' },
      { path: '/channels/plain/history' },
      { path: '/channels/kept:a/history?offset=1' },
      { path: '/channels/kept:a/history?offset=1&epoch=another' },
    ],
    'GET /sessions': [{}, { path: '/sessions?user=ann' }, { path: '/sessions?after=nowhere' }],
    'GET /sessions/{session}': [{ path: `/sessions/${session}` }, { path: `/sessions/${NOBODY}` }, { path: '/sessions/x' }],
    'POST /sessions/{session}/subscribe': [
      { path: `/sessions/${session}/subscribe`, body: { channel: 'more' } },
      { path: `/sessions/${NOBODY}/subscribe`, body: { channel: 'more' } },
      { path: `/sessions/${session}/subscribe`, body: { channel: 'two words' } },
    ],
    'POST /sessions/{session}/unsubscribe': [
      { path: `/sessions/${session}/unsubscribe`, body: { channel: 'more', code: 1000, message: 'closed' } },
      { path: `/sessions/${NOBODY}/unsubscribe`, body: { channel: 'more' } },
      { path: `/sessions/${session}/unsubscribe`, body: { channel: 'more', code: 1 } },
    ],
    'POST /users/{user}/unsubscribe': [
      { path: '/users/ann/unsubscribe', body: { channel: 'plain' } },
      { path: '/users/%FF/unsubscribe', body: { channel: 'plain' } },
    ],
    'POST /alarms': [{ body: { channel: 'kept:a', data: 'smoke', ttl: 60_000 } }, { body: { channel: 'kept:a', data: 1, ttl: 0 } }],
    'GET /alarms': [{}],
    'GET /alarms/{alarm}': [{ path: `/alarms/${alarm}` }, { path: `/alarms/${NOBODY}` }, { path: '/alarms/%FF' }],
    'DELETE /alarms/{alarm}': [{ path: `/alarms/${alarm}` }, { path: `/alarms/${NOBODY}` }, { path: '/alarms/%FF' }],
    'POST /sessions/{session}/disconnect': [
      { path: `/sessions/${session}/disconnect`, body: { reason: 'enough' } },
      { path: `/sessions/${NOBODY}/disconnect`, body: {} },
      { path: `/sessions/${session}/disconnect`, body: { code: 1 } },
    ],
    'POST /users/{user}/disconnect': [
      { path: '/users/ann/disconnect', body: { code: 4000 } },
      { path: '/users/ann/disconnect', body: { code: 1 } },
    ],
  };
}

/** The requests that every operation refuses: a wrong key, and invalid bodies. */
function wrong({ requestBody }, works) {
  const refused = [{ ...works, key: 'none' }];
  if (requestBody === undefined) return refused;
  return [
    ...refused,
    { ...works, body: '{' },
    { ...works, body: { unheard: 'of' } },
    { ...works, type: 'text/plain' },
    { ...works, body: `"${'x'.repeat(5 * 1024 * 1024)}"` },
  ];
}

/** Sends a request, and checks that the answer is one of those described. Returns its status. */
async function checked(method, template, described, { path = template, ...options }) {
  const { status, type, text } = await ask(method, path, options);
  const where = `${method} ${path} gave ${status} ${text.slice(0, 200)}`;
  const response = described.responses[status];
  assert.ok(response !== undefined, `${where}, which is not described`);
  const [[media, { schema }] = [undefined, {}]] = Object.entries(response.content ?? {});
  assert.equal(type?.split(';')[0], media, where);
  if (media === undefined) assert.equal(text, '', where);
  else if (!valid(schema, JSON.parse(text))) assert.fail(`${where}, which is not as described: ${JSON.stringify(valid.errors)}`);
  return status;
}

/** Whether a value conforms to a schema of the document. */
function valid(schema, value) {
  const ajv = new Ajv2020({ strict: false, formats: { int32: true, int64: true } });
  const whole = { ...schema, components: { schemas: document.components.schemas } };
  const check = ajv.compile(whole);
  const keeps = check(value);
  valid.errors = check.errors;
  return keeps;
}
