// The live chart in a real browser against the real server. The environment variables are described in page.test.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { DemoServer } from './support/demo-server.mjs';
import { launch, Person, PHONE } from './support/people.mjs';

let browser;
let server;
let origin;

before(async () => {
  const given = process.env['WIREHUB_TEST_PAGE'];
  if (given === undefined) server = await DemoServer.start();
  origin = given === undefined ? server.origin : new URL(given).origin;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

test('the chart fills by itself, and has a description', async () => {
  const ada = await Watcher.open();
  await ada.ticked(12);
  assert.equal(ada.lines(await ada.drawing()), 1);
  const points = (await ada.drawing()).split('L').length;
  assert.ok(points >= 12, `the line has ${points} points`);
  await ada.person.reads('#pulse-late', /^\d+\.\d\d ms$/);
  const highest = Number.parseFloat(await ada.page.textContent('#pulse-highest'));
  const top = Number.parseFloat(await ada.page.locator('#pulse-chart .chart-label').first().textContent());
  assert.ok(top >= highest, `the axis ends at ${top}, below ${highest}`);
  const words = await ada.page.getByRole('img', { name: 'Lateness' }).getAttribute('aria-label');
  assert.match(words, /in the last 30 seconds: now \d+\.\d\d ms, at most \d+\.\d\d ms$/);
  await ada.person.screenshot('pulse');
  await ada.leave();
});

test('a stopped chart receives no more ticks, and a restarted one has a clock of its own', async () => {
  const [ada, grace] = [await Watcher.open(), await Watcher.open()];
  await ada.ticked(3);
  await ada.page.getByRole('button', { name: 'Stop the pulse' }).click();
  const last = await ada.number();
  // Ticks in flight when the call was cancelled arrive before the answer to this.
  await ada.echo();
  ada.received = 0;
  await grace.ticksMore(6);
  assert.equal(await ada.number(), last);
  assert.equal(ada.received, 0, 'the server goes on ticking for nobody');

  await ada.page.getByRole('button', { name: 'Start the pulse' }).click();
  await ada.person.waitFor((before) => Number(document.getElementById('pulse-number').textContent) < before, last);
  await ada.ticked(2);
  assert.equal(ada.lines(await ada.drawing()), 2, 'what was not seen is a gap in the line');
  await ada.leave();
  await grace.leave();
});

test('in a closed drawer no ticks are requested', async () => {
  const [phone, grace] = [await Watcher.open(PHONE), await Watcher.open()];
  await phone.person.connected();
  await grace.ticksMore(4);
  assert.equal(await phone.number(), 0);
  await phone.page.tap('.for-echo');
  await phone.ticked(8);
  await phone.person.screenshot('phone-pulse');
  await phone.page.keyboard.press('Escape');
  await phone.restsWhile(grace);
  await phone.leave();
  await grace.leave();
});

test('with reduced motion the chart starts on request and moves rarely', async () => {
  const [calm, grace] = [await Watcher.open({ reducedMotion: 'reduce' }), await Watcher.open()];
  await calm.person.connected();
  await grace.ticksMore(4);
  assert.equal(await calm.number(), 0);
  await calm.page.getByRole('button', { name: 'Start the pulse' }).click();
  await calm.ticked(1);
  assert.deepEqual([calm.periods, grace.periods], [[2000], [250]]);
  await calm.leave();
  await grace.leave();
});

test('the chart comes back after a reconnect', async () => {
  let own = await DemoServer.start();
  try {
    const ada = await Watcher.open({}, own.origin);
    await ada.ticked(5);
    await own.kill();
    await ada.page.waitForSelector('#connection[data-link="reconnecting"]');
    const last = await ada.number();
    assert.equal(await ada.page.textContent('#pulse-status'), '');
    own = await DemoServer.start(own.port);
    await ada.person.waitFor((before) => Number(document.getElementById('pulse-number').textContent) < before, last);
    await ada.ticked(3);
    assert.equal(ada.lines(await ada.drawing()), 2);
    await ada.leave({ expected: /^console: WebSocket connection to .* failed/ });
  } finally {
    await own.kill();
  }
});

/** A person who watches the chart. */
class Watcher {
  person;
  /** The number of messages with ticks that have arrived at this page. */
  received = 0;
  /** The periods that this page has requested, in ms. */
  periods = [];

  static async open(options = {}, at = origin) {
    const watcher = new Watcher();
    watcher.person = await Person.open(browser, `${at}/`, options, (page) => {
      page.on('websocket', (socket) => {
        socket.on('framereceived', ({ payload }) => {
          if (payload.includes('"late"')) watcher.received += 1;
        });
        socket.on('framesent', ({ payload }) => {
          const [, period] = /"every":(\d+)/.exec(payload.toString()) ?? [];
          if (period !== undefined) watcher.periods.push(Number(period));
        });
      });
    });
    return watcher;
  }

  get page() {
    return this.person.page;
  }

  /** The newest tick's number; 0 before the first. */
  async number() {
    return Number((await this.page.textContent('#pulse-number')).replace('–', '0'));
  }

  /** Waits for the tick with that number, or a later one. */
  ticked(number) {
    return this.person.waitFor((wanted) => Number(document.getElementById('pulse-number').textContent) >= wanted, number);
  }

  async ticksMore(count) {
    await this.ticked((await this.number()) + count);
  }

  /** Waits until no tick arrives here while six arrive for another person. */
  async restsWhile(other) {
    for (let tries = 0; tries < 5; tries += 1) {
      this.received = 0;
      await other.ticksMore(6);
      if (this.received === 0) return;
    }
    assert.fail('the ticks go on');
  }

  /** A round trip on the same connection. */
  async echo() {
    await this.page.locator('input[name="echo-mode"][value="call"]').check();
    await this.page.click('#echo-once');
    await this.person.reads('#echo-last', /ms$/);
  }

  drawing() {
    return this.page.locator('#pulse-chart .chart-line').getAttribute('d');
  }

  /** The number of unbroken lines in a drawing. */
  lines(drawing) {
    return drawing.split('M').length - 1;
  }

  leave(settings) {
    return this.person.leave(settings);
  }
}
