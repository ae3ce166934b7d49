// The charts in a real browser against the real server. For the environment variables see ../support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fitsPhone, noViolations } from '../support/checks.mjs';
import { PHONE } from '../support/people.mjs';
import { drawnColumns, pictureOf, portraits } from '../support/pictures.mjs';
import { openStage } from '../support/stage.mjs';

/** The chart with one line that is always there, and its colour. */
const SESSIONS = 'section[aria-label^="Sessions"]';
const LINE = '--series-1';

const stage = openStage();

/** Somebody who looks at the charts. */
async function viewer(options = {}, prepare = undefined) {
  const person = await stage.visit('charts', options, stage.origin, prepare);
  await person.page.waitForSelector(`${SESSIONS} canvas`);
  await person.reads(`${SESSIONS} .legend-value`, /\d/);
  return person;
}

/** The share of the plot's width in which the line is drawn, and the longest hole in it. */
async function line(person, selector = SESSIONS) {
  const columns = await drawnColumns(person.page, selector, LINE);
  const first = columns.indexOf(true);
  const last = columns.lastIndexOf(true);
  const holes = columns.slice(first, last).join().split('true').map((hole) => hole.split('false').length - 1);
  return { share: (last - first) / columns.length, hole: Math.max(0, ...holes) / columns.length };
}

const spanOf = (person, text) => person.page.getByRole('radio', { name: text, exact: true }).check({ force: true });

test('every reading of the server and its machine is drawn, 60 messages a second', async () => {
  const ada = await viewer();
  await ada.reads('.charts-rates', /^(6\d|7\d) messages a second/);
  for (const title of ['Messages', 'Traffic', 'Sessions', 'Processor', 'Memory', 'Network']) {
    await ada.reads(`section[aria-label^="${title}"] .legend-value`, /\d/);
  }
  assert.match(await ada.page.textContent('section[aria-label^="Memory"] .legend'), /[MG]B/);
  // The readings themselves are several kilobytes a second, and this page sends next to nothing.
  await ada.reads('section[aria-label^="Traffic"] .legend', /^Bytes in[\d.]+ B\/sBytes out[\d.]+ kB\/s$/);
  await ada.leave();
});

test('the past fills the chart on arrival', async () => {
  const ada = await viewer();
  await ada.page.waitForTimeout(9_000);
  const grace = await viewer();
  await spanOf(grace, '10 s');
  await grace.page.waitForTimeout(300);
  const { share, hole } = await line(grace);
  assert.ok(share > 0.7, `the line covers ${share} of the chart`);
  assert.ok(hole < 0.05, `a hole of ${hole}`);
  await ada.leave();
  await grace.leave();
});

test('a chart that was hidden continues without a hole', async () => {
  let received = 0;
  const ada = await viewer({}, (page) => {
    page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
      if (payload.includes('metrics:')) received += 1;
    }));
  });
  await spanOf(ada, '10 s');
  await ada.page.waitForTimeout(3_000);
  await ada.page.evaluate(() => (location.hash = '#lab'));
  await ada.page.waitForSelector('.proof');
  await ada.page.waitForTimeout(500);
  received = 0;
  await ada.page.waitForTimeout(3_000);
  assert.equal(received, 0, 'readings are sent to a hidden chart');
  await ada.page.evaluate(() => (location.hash = '#charts'));
  await ada.page.waitForTimeout(1_200);
  const { share, hole } = await line(ada);
  // It was hidden for a third of the chart.
  assert.ok(share > 0.6 && hole < 0.2, `the line covers ${share}, with a hole of ${hole}`);
  await ada.leave();
});

test('a chart is paused, zoomed and moved by keys', async () => {
  const ada = await viewer();
  const plot = ada.page.locator(`${SESSIONS} .plot`);
  await plot.focus();
  await plot.press('Space');
  await ada.reads('.charts-controls button', /^Back to live$/);
  const still = await pictureOf(ada.page, SESSIONS);
  await ada.page.waitForTimeout(700);
  assert.equal(await pictureOf(ada.page, SESSIONS), still);
  await plot.press('+');
  await ada.page.waitForTimeout(200);
  const near = await pictureOf(ada.page, SESSIONS);
  assert.notEqual(near, still);
  await plot.press('ArrowLeft');
  await ada.page.waitForTimeout(200);
  assert.notEqual(await pictureOf(ada.page, SESSIONS), near);
  await plot.press('Escape');
  await ada.reads('.charts-controls button', /^Pause$/);
  await ada.leave();
});

test('a part of the time is chosen by dragging, in every chart', async () => {
  const ada = await viewer();
  const { x, y, width, height } = await ada.page.locator(`${SESSIONS} .u-over`).boundingBox();
  const other = 'section[aria-label^="Processor"]';
  await ada.page.mouse.move(x + width * 0.6, y + height / 2);
  await ada.page.mouse.down();
  await ada.page.mouse.move(x + width * 0.8, y + height / 2, { steps: 5 });
  await ada.page.mouse.up();
  await ada.reads('.charts-controls button', /^Back to live$/);
  await ada.page.mouse.move(0, 0);
  await ada.page.waitForTimeout(200);
  const still = await pictureOf(ada.page, other);
  await ada.page.waitForTimeout(600);
  assert.equal(await pictureOf(ada.page, other), still);
  await ada.page.getByRole('button', { name: 'Back to live' }).click();
  await ada.page.waitForTimeout(600);
  assert.notEqual(await pictureOf(ada.page, other), still);
  await ada.leave();
});

test('a series is hidden by its button, with the keyboard too', async () => {
  const ada = await viewer();
  const button = ada.page.locator(`${SESSIONS} .legend-item`);
  await button.focus();
  await ada.page.keyboard.press('Enter');
  await ada.page.waitForSelector(`${SESSIONS} .legend-item[aria-pressed="false"]`);
  await ada.page.waitForTimeout(300);
  assert.ok(!(await drawnColumns(ada.page, SESSIONS, LINE)).includes(true));
  await ada.page.keyboard.press('Enter');
  await ada.page.waitForTimeout(300);
  assert.ok((await drawnColumns(ada.page, SESSIONS, LINE)).includes(true));
  await ada.leave();
});

test('on a slow page “latest” leaves readings out and “lossless” falls behind', async () => {
  const ada = await viewer();
  await ada.page.getByRole('switch').check({ force: true });
  const lane = (policy) => `.lane[data-policy="${policy}"] dl`;
  await ada.reads(lane('latest'), /Left out[1-9][\d,]* readings/);
  await ada.reads(lane('lossless'), /Behind[2-9]\.\d s/);
  await ada.reads(lane('latest'), /Behind\d+ ms/);
  await ada.reads(lane('lossless'), /Left out0 readings/);
  await ada.screenshot('charts-race');
  await ada.leave();
});

test('with reduced motion the charts move once a second', async () => {
  const ada = await viewer({ reducedMotion: 'reduce' });
  const pictures = new Set();
  for (let taken = 0; taken < 20; taken += 1) {
    pictures.add(await pictureOf(ada.page, SESSIONS));
    await ada.page.waitForTimeout(100);
  }
  assert.ok(pictures.size >= 2 && pictures.size <= 5, `${pictures.size} different pictures in 2 seconds`);
  await ada.leave();
});

test('the charts are accessible in light and dark, and fit a phone', async () => {
  const [ada, phone] = [await viewer(), await viewer(PHONE)];
  await ada.page.waitForTimeout(4_000);
  await portraits(ada, 'charts', noViolations);
  await noViolations(phone);
  await phone.screenshot('charts-phone');
  await fitsPhone(phone);
  await ada.leave();
  await phone.leave();
});
