// Alarms in a real browser against the real server. The environment variables are described in support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fitsPhone, noViolations, tabTo } from './support/checks.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { LOST_CONNECTION, SIGHTS } from './support/people.mjs';
import { leave, openStage } from './support/stage.mjs';

// Alarms reach everybody, so each test has a server of its own.
const stage = openStage();

test('an alarm lies over every panel of every page until it is acknowledged, and its raiser sees that', async () => {
  await withServer(async (at) => {
    const [ada, grace, linus] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'charts', 'Grace'), await visit(at, 'chat/lobby', 'Linus')];
    await ada.reads('.alarm-lists', /All is quiet/);
    await ada.raise({ severity: 'critical', text: 'The cellar is under water' });
    for (const person of [ada, grace, linus]) {
      await person.reads('#alarm-stack .alarm-card.critical', /The cellar is under water/);
      await person.reads('#nav a[href="#alarms"] .count', '1 open alarm');
    }
    assert.match(await grace.page.textContent('#alarm-stack .hint'), /^Ada · to everyone$/);
    await ada.reads('.alarm-progress', '0 of 3 recipients acknowledged, 3 received');

    await grace.page.getByRole('button', { name: 'Acknowledge' }).click();
    await grace.page.waitForSelector('#alarm-stack', { state: 'hidden' });
    assert.equal(await grace.page.locator('#nav a[href="#alarms"] .count:visible').count(), 0);
    await ada.reads('.recipient.acknowledged', /Grace/);
    await ada.reads('.alarm-progress', '1 of 3 recipients acknowledged, 3 received');
    assert.ok(await linus.page.isVisible('#alarm-stack'), 'the acknowledgement of one is none of another');

    await ada.page.locator('.alarm-lists').getByRole('button', { name: 'Withdraw' }).click();
    for (const person of [ada, linus]) await person.page.waitForSelector('#alarm-stack', { state: 'hidden' });
    await ada.reads('.alarm-lists', /Raised by you.*Over/s);
    await leave(ada, grace, linus);
  });
});

test('an alarm to one person reaches that person, in all tabs, and nobody else', async () => {
  await withServer(async (at) => {
    const [ada, grace, linus] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'charts', 'Grace'), await visit(at, 'lab', 'Linus')];
    const second = await grace.tab(`${at}/#cursors`);
    await second.connected();
    await ada.raise({ severity: 'info', text: 'Your tea is ready', to: 'Grace' });
    for (const tab of [grace, second]) await tab.reads('#alarm-stack .alarm-card.info', /Your tea is ready.*Ada · to you/s);
    await second.page.getByRole('button', { name: 'Acknowledge' }).click();
    await grace.page.waitForSelector('#alarm-stack', { state: 'hidden' });
    await ada.reads('.alarm-progress', '1 of 1 recipient acknowledged, 1 received');
    assert.equal(await linus.page.locator('.alarm-card').count(), 0);
    assert.equal(await ada.page.locator('.alarm-card').count(), 0);
    await leave(ada, grace, linus);
  });
});

test('an alarm comes back after a reload, and one that was acknowledged does not', async () => {
  await withServer(async (at) => {
    const [ada, grace] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'chat/lobby', 'Grace')];
    await ada.raise({ severity: 'warning', text: 'Still burning' });
    await grace.reads('.alarm-card', /Still burning/);
    await grace.page.reload();
    await grace.reads('.alarm-card', /Still burning/);
    await grace.page.getByRole('button', { name: 'Acknowledge' }).click();
    await ada.reads('.recipient.acknowledged', /Grace/);
    await grace.page.reload();
    await grace.connected();
    await ada.raise({ severity: 'warning', text: 'Something else' });
    await grace.reads('.alarm-card', /Something else/);
    assert.equal(await grace.page.locator('.alarm-card').count(), 1);
    await leave(ada, grace);
  });
});

test('an acknowledgement without a connection is delivered later', async () => {
  const own = await DemoServer.start({ durable: true });
  try {
    const [ada, grace] = [await visit(own.origin, 'alarms', 'Ada'), await visit(own.origin, 'alarms', 'Grace')];
    await ada.raise({ severity: 'warning', text: 'Line down' });
    await grace.reads('.alarm-card', /Line down/);
    await own.kill();
    await grace.page.waitForSelector('#connection[data-link="reconnecting"]');
    await grace.page.locator('#alarm-stack').getByRole('button', { name: 'Acknowledge' }).click();
    await own.restart();
    await ada.connected();
    await ada.reads('.recipient.acknowledged', /Grace/);
    await leave({ expected: LOST_CONNECTION }, ada, grace);
  } finally {
    await own.stop();
  }
});

test('an alarm can be acknowledged over an open dialog', async () => {
  await withServer(async (at) => {
    const [ada, grace] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'chat/lobby', 'Grace')];
    await grace.page.click('#me');
    await ada.raise({ severity: 'critical', text: 'Look up' });
    await grace.page.getByRole('button', { name: 'Acknowledge' }).click();
    await grace.page.waitForSelector('#alarm-stack', { state: 'hidden' });
    assert.ok(await grace.page.isVisible('#identity[open]'));
    await ada.raise({ severity: 'critical', text: 'And again' });
    await grace.reads('.alarm-card', /And again/);
    await grace.page.keyboard.press('Escape');
    await grace.page.getByRole('button', { name: 'Acknowledge' }).click();
    await grace.page.waitForSelector('#alarm-stack', { state: 'hidden' });
    await leave(ada, grace);
  });
});

test('more alarms than fit are counted, and the panel has them all', async () => {
  await withServer(async (at) => {
    const [ada, grace] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'chat/lobby', 'Grace')];
    for (const text of ['one', 'two', 'three', 'four']) await ada.raise({ severity: 'info', text });
    await grace.reads('.alarm-more', '1 more alarm');
    assert.deepEqual(await grace.page.locator('.alarm-card .alarm-text').evaluateAll((all) => all.map((each) => each.lastChild.textContent)), ['four', 'three', 'two']);
    await grace.page.click('.alarm-more');
    await grace.waitFor(() => document.querySelectorAll('.alarm-row').length === 4);
    await leave(ada, grace);
  });
});

test('a rule raises an alarm when a real reading goes above its threshold', async () => {
  await withServer(async (at) => {
    const [ada, grace] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'charts', 'Grace')];
    await ada.page.waitForSelector('#rule-series option', { state: 'attached' });
    await ada.reads('.rule-now', /\d/);
    // A machine that runs this test uses memory.
    const value = await ada.page.locator('#rule-series option').evaluateAll((options) => options.find(({ textContent }) => /memory/i.test(textContent)).value);
    await ada.page.selectOption('#rule-series', value);
    await ada.page.fill('#rule-above', '1');
    await ada.page.selectOption('#rule-severity', 'critical');
    await ada.page.locator('#rule-on').check();
    await grace.reads('.alarm-card.critical', /The rule · to everyone/);
    const linus = await visit(at, 'alarms', 'Linus');
    await linus.reads('.alarm-forms', /On, set by Ada/);
    await ada.page.locator('#rule-on').uncheck();
    await linus.reads('.alarm-forms', /Off\./);
    await leave(ada, grace, linus);
  });
});

test('an alarm without a text, or with a long one, is refused with the remedy', async () => {
  await withServer(async (at) => {
    const ada = await visit(at, 'alarms', 'Ada');
    await ada.page.click('#alarm-send');
    await ada.reads('#alarm-error', 'Type the text of the alarm.');
    await ada.page.fill('#alarm-text', 'x'.repeat(501));
    await ada.page.press('#alarm-text', 'Enter');
    await ada.reads('#alarm-error', 'An alarm has at most 500 characters; this one has 501.');
    await leave(ada);
  });
});

test('a sound and the browser’s notification are switched on by the person', async () => {
  await withServer(async (at) => {
    const [ada, grace] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'alarms', 'Grace', { permissions: ['notifications'] })];
    await grace.page.evaluate(() => {
      globalThis.tones = 0;
      const start = OscillatorNode.prototype.start;
      OscillatorNode.prototype.start = function count(...when) {
        globalThis.tones += 1;
        return start.apply(this, when);
      };
      globalThis.shown = [];
      globalThis.Notification = class extends EventTarget {
        static permission = 'granted';
        constructor(title, options) {
          super();
          globalThis.shown.push([title, options.body]);
        }
      };
      document.hasFocus = () => false;
    });
    await ada.raise({ severity: 'critical', text: 'silent' });
    await grace.reads('.alarm-card', /silent/);
    assert.equal(await grace.page.evaluate(() => globalThis.tones), 0);
    await grace.page.locator('#alarm-sound').check();
    await grace.waitFor(() => globalThis.tones === 1);
    await ada.raise({ severity: 'critical', text: 'loud' });
    await grace.waitFor(() => globalThis.tones === 5);
    assert.deepEqual((await grace.page.evaluate(() => globalThis.shown)).at(-1), ['loud', 'Alarm from Ada']);
    await leave(ada, grace);
  });
});

test('an alarm is the first thing that the keyboard reaches', async () => {
  await withServer(async (at) => {
    const [ada, grace] = [await visit(at, 'alarms', 'Ada'), await visit(at, 'chat/lobby', 'Grace')];
    await ada.raise({ severity: 'critical', text: 'Keys' });
    await grace.reads('.alarm-card', /Keys/);
    await grace.page.focus('#skip');
    await tabTo(grace, '#alarm-stack button', 1);
    await grace.page.keyboard.press('Enter');
    await grace.page.waitForSelector('#alarm-stack', { state: 'hidden' });
    await leave(ada, grace);
  });
});

for (const [name, options] of Object.entries(SIGHTS)) {
  test(`alarms as people see them, without an accessibility violation: ${name}`, async () => {
    await withServer(async (at) => {
      const [ada, grace] = [await visit(at, 'alarms', 'Ada Lovelace', options), await visit(at, 'alarms', 'Grace Hopper')];
      await ada.reads('.alarm-lists', /All is quiet/);
      await ada.reads('.rule-now', /\d/);
      await noViolations(ada);
      await ada.screenshot(`alarms-empty-${name}`);
      await ada.raise({ severity: 'warning', text: 'The build is slow today' });
      await grace.page.getByRole('button', { name: 'Acknowledge' }).first().click();
      await ada.reads('.recipient.acknowledged', /Grace Hopper/);
      await grace.raise({ severity: 'critical', text: 'Fire drill at three: take the stairs' });
      await ada.reads('.alarm-card.critical', /Fire drill/);
      await noViolations(ada);
      if (name.startsWith('phone')) await fitsPhone(ada);
      await ada.screenshot(`alarms-${name}`);
      await leave(ada, grace);
    });
  });
}

// --- Help ---

async function withServer(run) {
  const own = await DemoServer.start();
  try {
    await run(own.origin);
  } finally {
    await own.stop();
  }
}

async function visit(at, place, name, options = {}) {
  const person = await stage.visit(place, { name, ...options }, at);
  await person.connected();
  return person;
}
