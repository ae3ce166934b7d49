// A backend for webhooks (see ../WEBHOOKS.md): node backend.mjs webhooks.key [port]
// The token is the user's name. A message in capitals is published in lower case. `billing.sum` adds numbers.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [keyFile, port = '3000'] = process.argv.slice(2);
const secret = readFileSync(keyFile, 'utf8').trimEnd();

const answers = {
  connect({ token }) {
    if (!/^[a-z]{1,20}$/.test(token)) return no('UNAUTHORIZED', 'the token must be a name');
    return { user: token, expires_in: 3600, channels: [`@${token}`], info: { name: token } };
  },

  subscribe({ user, channel }) {
    const isAdmin = user === 'admin';
    return channel === 'room:staff' && !isAdmin ? no('PERMISSION_DENIED', 'the room is for the staff') : {};
  },

  publish({ data }) {
    if (typeof data?.text !== 'string') return no(1001, 'a message needs a text');
    return data.text === data.text.toUpperCase() ? { data: { ...data, text: data.text.toLowerCase() } } : {};
  },

  call({ call, data }) {
    if (call !== 'billing.sum') return no('UNKNOWN_CALL');
    return { data: data.reduce((sum, number) => sum + number, 0) };
  },

  events({ events }) {
    for (const { kind, user, channel = '' } of events) console.log(`${user} ${kind} ${channel}`.trimEnd());
    return {};
  },
};

const no = (code, message) => ({ error: { code, message } });

function isFromWirehub(headers, body) {
  const timestamp = headers['wirehub-timestamp'];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300)) return false;
  const expected = `v1=${createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex')}`;
  const given = headers['wirehub-signature'] ?? '';
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!isFromWirehub(request.headers, body)) return response.writeHead(400).end();
  const webhook = JSON.parse(body);
  const answer = answers[webhook.event](webhook);
  response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
});

server.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
