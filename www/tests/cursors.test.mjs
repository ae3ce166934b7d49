// The shared board in a real browser against the real server. For the environment variables see support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fitsPhone, noViolations } from './support/checks.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { PHONE } from './support/people.mjs';
import { drawnColumns, portraits } from './support/pictures.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

const stage = openStage();

/** Somebody at a board. */
async function artist(board, options = {}, at = stage.origin) {
  const person = await stage.visit(`cursors/${board}`, options, at);
  await person.page.waitForSelector('.board');
  await person.reads('.cursor-people', /here/i);
  return person;
}

/** A place on the board, in pixels of the page. */
async function place(person, x, y) {
  const box = await person.page.locator('.board').boundingBox();
  return [box.x + x * box.width, box.y + y * box.height];
}

async function draw(person, from, to, steps = 20) {
  await person.page.mouse.move(...(await place(person, ...from)));
  await person.page.mouse.down();
  await person.page.mouse.move(...(await place(person, ...to)), { steps });
  await person.page.mouse.up();
}

/** Moves the pointer until `run` has ended: one that stands still fades, on a busy machine before the end of the checks. */
async function whileMoving(person, run) {
  let hasEnded = false;
  const move = async () => {
    for (let step = 0; !hasEnded; step += 1) {
      await person.page.mouse.move(...(await place(person, 0.8, 0.3 + (step % 2) * 0.02)));
      await person.page.waitForTimeout(200);
    }
  };
  await Promise.all([move(), run().finally(() => (hasEnded = true))]);
}

/** Waits until the share of the board's width that has something in this colour is as wanted. */
async function shows(person, wanted, token = '--series-1') {
  let share;
  for (let tries = 0; tries < 60; tries += 1) {
    const columns = await drawnColumns(person.page, '.board', token);
    share = columns.filter(Boolean).length / columns.length;
    if (wanted(share)) return;
    await person.page.waitForTimeout(100);
  }
  assert.fail(`${share} of the board's width is drawn`);
}

/** The place of the other's pointer, as parts of the board. */
const pointer = (person) =>
  person.page.evaluate(() => {
    const board = document.querySelector('.board');
    const { transform } = document.querySelector('.cursor:not(.is-own)').style;
    const [, x, y] = /translate\(([\d.]+)px, ([\d.]+)px\)/.exec(transform) ?? [];
    return [Number(x) / board.clientWidth, Number(y) / board.clientHeight];
  });

/** Records the way of the other's pointer from now on. */
function recordPlaces(person) {
  return person.page.evaluate(() => {
    globalThis.places = [];
    const element = document.querySelector('.cursor:not(.is-own)');
    new MutationObserver(() => globalThis.places.push(Number(/translate\(([\d.]+)px/.exec(element.style.transform)[1]))).observe(element, { attributeFilter: ['style'] });
  });
}

test('everybody sees the others’ pointers move, with their names', async () => {
  const board = freshRoom();
  const [ada, grace] = [await artist(board), await artist(board)];
  await ada.reads('.cursor-people', /^\S*Here with you: /);
  await ada.page.mouse.move(...(await place(ada, 0.1, 0.2)));
  await grace.page.waitForSelector('.cursor:not(.is-own) .cursor-name:not(:empty)');
  await recordPlaces(grace);
  for (let step = 0; step <= 20; step += 1) {
    await ada.page.mouse.move(...(await place(ada, 0.1 + step * 0.035, 0.2)));
    await ada.page.waitForTimeout(30);
  }
  await grace.waitFor(() => Number(/translate\(([\d.]+)px/.exec(document.querySelector('.cursor:not(.is-own)').style.transform)[1]) / document.querySelector('.board').clientWidth > 0.79);
  const [x, y] = await pointer(grace);
  assert.ok(Math.abs(x - 0.8) < 0.01 && Math.abs(y - 0.2) < 0.01, `${x}, ${y}`);
  const places = await grace.page.evaluate(() => globalThis.places);
  assert.ok(new Set(places).size > 6, `${new Set(places).size} different places`);
  assert.ok(places.every((each, index) => index === 0 || each >= places[index - 1]), 'the pointer jumped back');
  await grace.screenshot('cursors-two');
  await ada.leave();
  await grace.waitFor(() => document.querySelectorAll('.cursor:not(.is-own)').length === 0);
  await grace.leave();
});

test('drawings stay for those who come later, until anybody clears them', async () => {
  const board = freshRoom();
  const [ada, grace] = [await artist(board), await artist(board)];
  await draw(ada, [0.2, 0.3], [0.8, 0.6]);
  for (const person of [ada, grace]) await shows(person, (share) => share > 0.55);
  const late = await artist(board);
  await shows(late, (share) => share > 0.55);
  await late.page.getByRole('button', { name: 'Clear for everybody' }).click();
  for (const person of [ada, grace, late]) {
    await shows(person, (share) => share === 0);
    await person.page.waitForSelector('.board-empty:not([hidden])');
  }
  await leave(ada, grace, late);
});

test('a stroke is seen while it is being drawn, in its colour, and taken back', async () => {
  const board = freshRoom();
  const [ada, grace] = [await artist(board), await artist(board)];
  await ada.page.getByRole('radio', { name: 'Orange' }).check({ force: true });
  await ada.page.mouse.move(...(await place(ada, 0.1, 0.5)));
  await ada.page.mouse.down();
  for (let step = 1; step <= 12; step += 1) {
    await ada.page.mouse.move(...(await place(ada, 0.1 + step * 0.05, 0.5)), { steps: 3 });
    await ada.page.waitForTimeout(30);
  }
  await shows(grace, (share) => share > 0.3, '--series-3');
  await ada.page.mouse.up();
  await shows(grace, (share) => share > 0.58, '--series-3');
  await ada.page.getByRole('button', { name: 'Undo' }).click();
  await shows(grace, (share) => share === 0, '--series-3');
  await leave(ada, grace);
});

test('the keyboard draws too', async () => {
  const board = freshRoom();
  const [ada, grace] = [await artist(board), await artist(board)];
  await ada.page.locator('.board').focus();
  await ada.page.keyboard.press('Space');
  for (let step = 0; step < 10; step += 1) await ada.page.keyboard.press('ArrowRight');
  await ada.page.keyboard.press('Space');
  await shows(grace, (share) => share > 0.15);
  // A pointer is interpolated: it arrives a little later than the line.
  const latest = Date.now() + 10_000;
  let [x] = await pointer(grace);
  while (Math.abs(x - 0.7) >= 0.02 && Date.now() < latest) [x] = await pointer(grace);
  assert.ok(Math.abs(x - 0.7) < 0.02, `the pointer is at ${x}`);
  await leave(ada, grace);
});

test('a finger draws on a phone', async () => {
  const board = freshRoom();
  const [phone, grace] = [await artist(board, PHONE), await artist(board)];
  const session = await phone.page.context().newCDPSession(phone.page);
  const touch = async (type, x) => {
    const [left, top] = await place(phone, x, 0.5);
    await session.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x: left, y: top }] });
  };
  await touch('touchStart', 0.2);
  for (let step = 1; step <= 10; step += 1) await touch('touchMove', 0.2 + step * 0.05);
  await touch('touchEnd', 0.7);
  await shows(grace, (share) => share > 0.4);
  await noViolations(phone);
  await phone.screenshot('cursors-phone');
  await fitsPhone(phone);
  await leave(phone, grace);
});

test('strokes that were drawn without a connection arrive later', async () => {
  const own = await DemoServer.start({ durable: true });
  try {
    const board = freshRoom();
    const ada = await artist(board, {}, own.origin);
    await own.kill();
    await ada.page.waitForSelector('#connection[data-link="reconnecting"]');
    await draw(ada, [0.2, 0.5], [0.6, 0.5]);
    await own.restart();
    await ada.connected();
    const grace = await artist(board, {}, own.origin);
    await shows(grace, (share) => share > 0.35);
    await leave({ expected: /^console: / }, ada, grace);
  } finally {
    await own.stop();
  }
});

test('the board is accessible in light and dark', async () => {
  const board = freshRoom();
  const [ada, grace] = [await artist(board), await artist(board)];
  await portraits(ada, 'cursors-empty', noViolations);
  await draw(grace, [0.2, 0.3], [0.5, 0.7]);
  await grace.page.getByRole('radio', { name: 'Violet' }).check({ force: true });
  await grace.page.getByRole('radio', { name: 'Thick' }).check({ force: true });
  await draw(grace, [0.4, 0.7], [0.8, 0.3]);
  await whileMoving(grace, () => portraits(ada, 'cursors', noViolations));
  await leave(ada, grace);
});
