// The lab in a real browser against the real server. For the environment variables see support/stage.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { fitsPhone, noViolations } from './support/checks.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { launch, Person, PHONE } from './support/people.mjs';
import { portraits } from './support/pictures.mjs';

/** The server ends connections here on purpose. */
const EXPECTED = /^console: WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/;

let browser;
let server;

before(async () => {
  server = await DemoServer.start({ durable: true });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Somebody in the lab. */
async function tester(options = {}) {
  const person = await Person.open(browser, `${server.origin}/#lab`, options);
  await person.page.waitForSelector('.proof');
  await person.reads('.troubles .hint', /disk/);
  return person;
}

const press = (person, name) => person.page.getByRole('button', { name: new RegExp(`^${name}`) }).click();
const remark = (person, pattern) => person.reads('.remarks li', pattern);

/** Waits until more messages have come from every sender. */
async function flows(person) {
  const received = () => person.page.locator('.proof tbody tr td:nth-of-type(2)').allTextContents();
  const before = await received();
  await person.waitFor(
    (texts) => {
      const now = [...document.querySelectorAll('.proof tbody tr td:nth-of-type(2)')].map((cell) => cell.textContent);
      return now.length >= Math.max(1, texts.length) && now[0] !== texts[0];
    },
    before,
  );
}

/** Ends the proof and returns the verdict. */
async function count(person) {
  await press(person, 'Stop and count');
  await person.page.waitForSelector('.verdict:is([data-verdict="proved"], [data-verdict="broken"])');
  return person.page.textContent('.verdict');
}

test('nothing is lost or doubled through cuts, held reading and an expired token', async () => {
  const ada = await tester();
  await press(ada, 'Start the proof');
  await flows(ada);
  const [broken, closed] = [/broke: the browser saw no close \(1006\)/, /closed the connection: code 3005/];
  for (const [trouble, end] of [['Cut the line', broken], ['Expire the token', closed], ['Cut the line', broken]]) {
    const before = await ada.page.locator('.remarks [data-kind="good"]').count();
    await press(ada, trouble);
    await ada.waitFor((count) => document.querySelectorAll('.remarks [data-kind="good"]').length > count, before);
    // The newest first: it is connected again, after this end of the connection.
    const [, second] = await ada.page.locator('.remarks li').allTextContents();
    assert.match(second, end);
    await flows(ada);
  }
  await press(ada, 'Hold back reading');
  await remark(ada, /comes at once/);
  await flows(ada);
  await ada.screenshot('lab-running');
  assert.match(await count(ada), /^Proved: all [\d,]+ messages came once and in order, through 2 cuts, 1 held reading, and 1 expired token\.$/);
  await ada.reads('.proof .hint', /own record, read by hand as JSON, has the same [\d,]+ messages\./);
  const rows = await ada.page.locator('.proof tbody tr').evaluateAll((all) => all.map((row) => [...row.cells].map(({ textContent }) => textContent)));
  assert.deepEqual(rows.map(([title]) => title), ['This page', 'The server']);
  for (const [, sent, received, ...faults] of rows) {
    assert.equal(sent, received);
    assert.deepEqual(faults, ['0', '0', '0']);
  }
  await ada.leave({ expected: EXPECTED });
});

test('nothing is lost or doubled while the server restarts', async () => {
  const ada = await tester();
  await press(ada, 'Start the proof');
  await flows(ada);
  await press(ada, 'Restart the server');
  await remark(ada, /Another server has answered/);
  await ada.waitFor(() => document.querySelectorAll('.proof tbody tr').length === 3);
  await flows(ada);
  assert.match(await count(ada), /^Proved: .*through 1 restart\.$/);
  await ada.screenshot('lab-restart');
  await ada.leave({ expected: EXPECTED });
});

test('an open alarm, whose progress is a stream without an end, does not hold up a restart', async () => {
  const grace = await Person.open(browser, `${server.origin}/#chat/lobby`, { name: 'Grace' });
  await grace.connected();
  const ada = await Person.open(browser, `${server.origin}/#alarms`, { name: 'Ada' });
  await ada.raise({ severity: 'info', text: 'Whenever you like', to: 'Grace' });
  await ada.reads('.alarm-progress', '0 of 1 recipient acknowledged, 1 received');
  await ada.go('lab');
  await press(ada, 'Start the proof');
  await flows(ada);
  await press(ada, 'Restart the server');
  await remark(ada, /Another server has answered/);
  await flows(ada);
  assert.match(await count(ada), /^Proved: .*through 1 restart\.$/);
  await ada.go('alarms');
  await grace.page.getByRole('button', { name: 'Acknowledge' }).click();
  await ada.reads('.alarm-progress', '1 of 1 recipient acknowledged, 1 received');
  for (const person of [ada, grace]) await person.leave({ expected: EXPECTED });
});

test('the checker finds a message that comes twice, and one that is missing', async () => {
  const ada = await tester();
  await press(ada, 'Start the proof');
  await flows(ada);
  await ada.reads('.frames li .frame-text', /^lab:/);
  const [channel] = /lab:[0-9a-f-]{36}/.exec(await ada.page.locator('.frame-text[title^="lab:"]').first().getAttribute('title'));
  // Somebody who knows the channel pretends to be another sender, with plain JSON.
  await ada.page.evaluate(async (name) => {
    const response = await fetch('/demo/session', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key: 'f'.repeat(32), name: 'Mallory' }),
    });
    const { token } = await response.json();
    const [, sender] = /"sender":"(page-[0-9a-f]+)"/.exec([...document.querySelectorAll('.frame-text')].map((each) => each.title).join(' '));
    const socket = new WebSocket(new URL('/ws', location.href), 'wirehub.v1.json');
    await new Promise((resolve) => (socket.onopen = resolve));
    const publish = (id, number) => ({ id, publish: { channel: name, data: { sender, number, sent: 0 } } });
    socket.send([{ id: 1, connect: { token } }, publish(2, 1), publish(3, 1_000_000)].map((each) => JSON.stringify(each)).join('\n'));
  }, channel);
  await ada.page.waitForSelector('.verdict[data-verdict="broken"]');
  const cells = await ada.page.locator('.proof tbody tr:first-child td').allTextContents();
  assert.equal(cells[3], '1');
  assert.notEqual(cells[2], '0');
  await ada.leave();
});

test('round trips are measured on every path, one by one and together', async () => {
  const ada = await tester();
  for (const path of ['Typed call', 'JSON', 'Text', 'Binary']) {
    await ada.page.getByRole('radio', { name: path, exact: true }).check({ force: true });
    await press(ada, 'Send one');
    await ada.reads('.trips [role="status"]', /^Back after \d/);
    await press(ada, '200, 25 at once');
    await ada.waitFor(() => document.querySelector('.trips dl dd').textContent === '201');
    assert.match(await ada.page.getAttribute('.histogram', 'aria-label'), /^Histogram of 201 round trips: median [\d.]+ ms/);
  }
  await ada.page.getByRole('combobox', { name: 'Size of the message' }).selectOption('16 kB');
  await press(ada, '200, one by one');
  await ada.waitFor(() => document.querySelector('.trips dl dd').textContent === '401');
  await ada.leave();
});

test('every frame is listed, decoded, filtered and opened', async () => {
  const ada = await tester();
  await press(ada, 'Send one');
  await ada.reads('.frames [data-direction="sent"] .frame-text', /demo\.echo \{"text":"x{16}"\}/);
  await ada.reads('.frames [data-direction="received"] .kind', /^called$/);
  await press(ada, 'Expire the token');
  await ada.reads('.frames [data-direction="received"] .kind', /^disconnect$/);
  await ada.reads('.frames [data-direction="sent"] .frame-text', /hidden/);
  assert.equal((await ada.page.textContent('.frames')).includes('eyJ'), false, 'a token is shown');
  await ada.page.getByRole('searchbox', { name: 'Filter the frames' }).fill('demo.echo');
  await ada.waitFor(() => [...document.querySelectorAll('.frames .kind')].every((kind) => kind.textContent === 'call'));
  await ada.page.locator('.frames summary').first().click();
  await ada.reads('.frames pre', /"name": "demo\.echo"/);
  await ada.page.getByRole('button', { name: 'Continue' }).click();
  await ada.page.getByRole('searchbox').fill('');
  await ada.page.selectOption('.frames-tools select', 'received');
  await ada.waitFor(() => document.querySelectorAll('.frames [data-direction="sent"]').length === 0);
  await ada.leave({ expected: EXPECTED });
});

test('the lab is accessible in light and dark, and fits a phone', async () => {
  const ada = await tester({ viewport: { width: 1440, height: 1000 } });
  await press(ada, 'Start the proof');
  await press(ada, '200, one by one');
  await flows(ada);
  await count(ada);
  await portraits(ada, 'lab', noViolations);
  const phone = await tester(PHONE);
  await noViolations(phone);
  await phone.screenshot('lab-phone');
  await fitsPhone(phone);
  await ada.leave();
  await phone.leave();
});
