// The panel in Rust, in a real browser against the real server. The environment variables are described in support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { noViolations } from './support/checks.mjs';
import { SIGHTS } from './support/people.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

const stage = openStage();

/** The messages of the room in a column: `name: text`. */
const lines = (person, column) =>
  person.page.locator(`.rust-columns > :nth-child(${column}) .rust-messages li`).evaluateAll((items) =>
    items.map((item) => `${item.querySelector('b').textContent}: ${item.querySelector('span').textContent}`),
  );

const RUST = 1;
const TYPESCRIPT = 2;

/** Opens the panel in a room, and waits for the connection of the client in Rust. */
async function openPanel(person, room) {
  await person.go(`rust/${room}`);
  await person.page.locator('.rust-columns > :nth-child(1) .rust-state', { hasText: /^connected$/ }).waitFor();
}

/** Writes a message in a column. */
async function write(person, column, text) {
  const box = person.page.locator(`.rust-columns > :nth-child(${column}) input`);
  await box.fill(text);
  await box.press('Enter');
}

async function reads(person, column, texts) {
  await person.waitFor(
    ([nth, count]) => document.querySelectorAll(`.rust-columns > :nth-child(${nth}) .rust-messages li`).length >= count,
    [column, texts.length],
  );
  assert.deepEqual(await lines(person, column), texts);
}

test('the clients in Rust and in TypeScript say and hear the same in one room', async () => {
  const room = freshRoom();
  const ada = await stage.enter(freshRoom(), { name: 'Ada' });
  await openPanel(ada, room);
  await write(ada, RUST, 'from <b>Rust</b>');
  await reads(ada, TYPESCRIPT, ['Ada: from <b>Rust</b>']);
  await write(ada, TYPESCRIPT, 'from TypeScript');
  for (const column of [RUST, TYPESCRIPT]) await reads(ada, column, ['Ada: from <b>Rust</b>', 'Ada: from TypeScript']);

  // Figures of the module: a round trip and a reading of the machine.
  const figures = ada.page.locator('.rust-columns > :nth-child(1) .rust-figures dd');
  await ada.waitFor(() => /^[\d.]+ ms$/.test(document.querySelectorAll('.rust-columns > :nth-child(1) .rust-figures dd')[1]?.textContent ?? ''));
  await ada.waitFor(() => /^\d+ %$/.test(document.querySelectorAll('.rust-columns > :nth-child(1) .rust-figures dd')[2]?.textContent ?? ''));
  assert.equal(await figures.first().textContent(), '2');
  await leave(ada);
});

test('a room that is left and entered again has its earlier messages, and one connection', async () => {
  const room = freshRoom();
  const ada = await stage.enter(freshRoom(), { name: 'Ada' });
  await openPanel(ada, room);
  await write(ada, RUST, 'one');
  await reads(ada, RUST, ['Ada: one']);
  await ada.go('chat/lobby');
  await openPanel(ada, room);
  for (const column of [RUST, TYPESCRIPT]) await reads(ada, column, ['Ada: one']);
  await write(ada, RUST, 'two');
  for (const column of [RUST, TYPESCRIPT]) await reads(ada, column, ['Ada: one', 'Ada: two']);
  await leave(ada);
});

for (const [sight, options] of Object.entries(SIGHTS)) {
  test(`the panel in Rust is accessible, and looks like the page: ${sight}`, async () => {
    const room = freshRoom();
    const ada = await stage.enter(freshRoom(), { name: 'Ada', ...options });
    await openPanel(ada, room);
    await write(ada, RUST, 'Hello from a WebAssembly module.');
    await write(ada, TYPESCRIPT, 'Hello from the package.');
    await ada.waitFor(() => document.querySelectorAll('.rust-messages li').length === 4);
    await noViolations(ada);
    await ada.screenshot(`rust-${sight}`);
    await leave(ada);
  });
}
