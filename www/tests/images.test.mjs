// Images in a real browser against the real server. The environment variables are described in support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { noViolations } from './support/checks.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { SIGHTS } from './support/people.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

const stage = openStage();

test('an image that was picked is shown to everyone, small in the log and in full on a click', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room, { name: 'Ada' }), await stage.enter(room, { name: 'Grace' })];
  await ada.page.setInputFiles('#file', await picture(ada, 'harbour.png', 800, 500));
  await ada.page.waitForSelector('.tray-image img');
  await ada.page.fill('#message', 'the view from here');
  await ada.page.press('#message', 'Enter');
  for (const [person, own] of [[ada, true], [grace, false]]) {
    const item = await person.hears('the view from here', { own });
    const shown = await natural(item.locator('.shot.loaded img'));
    assert.deepEqual(shown, { width: 800, height: 500 });
    const { width } = await item.locator('.shot').boundingBox();
    assert.ok(width <= 321, `the thumbnail is ${width} wide`);
  }
  await grace.page.click('.shot.loaded');
  await grace.page.waitForSelector('.lightbox[open] img');
  await grace.reads('.lightbox figcaption', /harbour\.png · 800 × 500 · \d+ kB/);
  await grace.page.keyboard.press('Escape');
  await grace.page.waitForSelector('.lightbox[open]', { state: 'detached' });

  // A person who comes later has it from the history.
  const linus = await stage.enter(room);
  assert.deepEqual(await natural((await linus.hears('the view from here')).locator('.shot.loaded img')), { width: 800, height: 500 });
  await leave(ada, grace, linus);
});

test('an image can be pasted or dropped, and several go in a row', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room), await stage.enter(room)];
  await give(ada, '#message', 'paste', [await picture(ada, 'pasted.png', 120, 80)]);
  await ada.page.waitForSelector('.tray-image img[alt="pasted.png"]');
  await give(ada, '#log', 'drop', [await picture(ada, 'dropped.png', 90, 90), await picture(ada, 'third.png', 60, 120)]);
  await ada.waitFor(() => document.querySelectorAll('.tray-image').length === 3);
  await ada.page.getByRole('button', { name: 'Remove dropped.png' }).click();
  assert.equal(await ada.page.locator('.tray-image').count(), 2);
  await ada.page.click('#send');
  await grace.waitFor(() => document.querySelectorAll('#messages .shot.loaded').length === 2);
  assert.deepEqual(await grace.page.locator('#messages .shot img').evaluateAll((all) => all.map(({ alt }) => alt)), ['pasted.png', 'third.png']);
  await leave(ada, grace);
});

test('dragging a file over the chat shows where it goes', async () => {
  const ada = await stage.enter(freshRoom());
  await give(ada, '#log', 'dragover', [await picture(ada, 'over.png', 10, 10)]);
  await ada.page.waitForSelector('.log-frame.dropping .drop-target', { state: 'visible' });
  await ada.screenshot('dropping');
  await leave(ada);
});

test('a large photo is made smaller, and its upload shows how much is sent', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room), await stage.enter(room)];
  const photo = await largePhoto(ada);
  await ada.page.evaluate(() => {
    globalThis.shown = [];
    new MutationObserver(() => {
      const bar = document.querySelector('#outbox progress');
      const { shown } = globalThis;
      // Without a value its position is -1.
      if (bar !== null && bar.position >= 0 && bar.value !== shown.at(-1)) shown.push(bar.value);
    }).observe(document.getElementById('outbox'), { childList: true, subtree: true, attributes: true });
  });
  await ada.page.setInputFiles('#file', photo);
  await ada.page.waitForSelector('.tray-image img');
  await ada.page.click('#send');
  await grace.page.waitForSelector('.shot.loaded img');
  const { width, height } = await natural(grace.page.locator('.shot.loaded img'));
  assert.ok(width <= 1600 && Math.abs(width / height - 1.5) < 0.01, `it is ${width} × ${height}`);
  const percents = await ada.page.evaluate(() => globalThis.shown);
  assert.ok(percents.length > 2 && percents.every((percent, at) => at === 0 || percent > percents[at - 1]), `${percents}`);
  assert.equal(percents.at(-1), 100);
  await leave(ada, grace);
});

test('the progress of an upload is there for everyone, also in words', async () => {
  const server = await DemoServer.start();
  try {
    const ada = await stage.enter(freshRoom(), {}, server.origin);
    const photo = await largePhoto(ada);
    await ada.page.setInputFiles('#file', photo);
    await ada.page.waitForSelector('.tray-image img');
    // It answers nothing, so that the upload stays as it is.
    server.pause();
    await ada.page.click('#send');
    const bar = ada.page.getByRole('progressbar', { name: 'Sending photo.png' });
    await ada.waitFor(() => document.querySelector('#outbox progress')?.position > 0);
    const { percent, spoken, written } = await bar.evaluate((element) => ({ percent: element.value, spoken: element.getAttribute('aria-valuetext'), written: element.parentElement.textContent }));
    assert.ok(percent > 0 && percent <= 100, `${percent}`);
    assert.deepEqual([spoken, written], [`${percent} percent`, `${percent} %`]);
    await noViolations(ada);
    await ada.screenshot('upload');
    server.resume();
    await ada.page.waitForSelector('#messages .shot.loaded img');
    await ada.waitFor(() => document.querySelector('#outbox').childElementCount === 0);
    await leave(ada);
  } finally {
    await server.stop();
  }
});

test('a file that is no image is refused by name', async () => {
  const ada = await stage.enter(freshRoom());
  const drawing = { name: 'drawing.svg', mimeType: 'image/svg+xml', buffer: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>') };
  for (const [file, complaint] of [
    [{ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') }, /“notes\.txt” is no image/],
    [drawing, /“drawing\.svg” is no image/],
    [{ name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') }, /“broken\.png” can’t be read/],
  ]) {
    await ada.page.setInputFiles('#file', file);
    await ada.reads('#message-error', complaint);
  }
  assert.equal(await ada.page.locator('.tray-image').count(), 0);
  await leave(ada);
});

test('an image in a private conversation is private', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room, { name: `Ada ${room}` }), await stage.enter(room, { name: `Grace ${room}` })];
  await ada.go(`chat/@${await grace.userAt(ada)}`);
  await ada.page.setInputFiles('#file', await picture(ada, 'secret.png', 200, 100));
  await ada.page.waitForSelector('.tray-image img');
  await ada.page.click('#send');
  await grace.page.click('#people-list a.has-unread');
  assert.deepEqual(await natural(grace.page.locator('.shot.loaded img')), { width: 200, height: 100 });
  await leave(ada, grace);
});

for (const [name, options] of Object.entries(SIGHTS)) {
  test(`images as people see them, without an accessibility violation: ${name}`, async () => {
    const room = freshRoom();
    const [ada, grace] = [await stage.enter(room, { name: 'Ada Lovelace', ...options }), await stage.enter(room, { name: 'Grace Hopper' })];
    await grace.page.setInputFiles('#file', await picture(grace, 'sunrise.png', 900, 560));
    await grace.page.waitForSelector('.tray-image img');
    await grace.page.fill('#message', 'Sunrise over the harbour');
    await grace.page.press('#message', 'Enter');
    await ada.page.waitForSelector('.shot.loaded');
    await ada.page.setInputFiles('#file', [await picture(ada, 'reply.png', 300, 300), await picture(ada, 'second.png', 300, 200)]);
    await ada.waitFor(() => document.querySelectorAll('.tray-image').length === 2);
    await noViolations(ada);
    await ada.screenshot(`image-${name}`);
    await ada.page.click('.shot.loaded');
    await ada.page.waitForSelector('.lightbox[open] img');
    await noViolations(ada);
    await ada.screenshot(`lightbox-${name}`);
    await leave(ada, grace);
  });
}

/** A photo that is large enough to travel in parts, also after it was made smaller: noise is the hardest to compress. */
async function largePhoto(person) {
  const photo = await picture(person, 'photo.png', 1800, 1200, { noisy: true });
  assert.ok(photo.buffer.length > 3_000_000, `the photo has ${photo.buffer.length} bytes`);
  return photo;
}

/** A PNG file, drawn in the person's browser. */
async function picture(person, name, width, height, { noisy = false } = {}) {
  const base64 = await person.page.evaluate(
    async ([wide, high, isNoisy]) => {
      const canvas = new OffscreenCanvas(wide, high);
      const context = canvas.getContext('2d');
      const sky = context.createLinearGradient(0, 0, 0, high);
      sky.addColorStop(0, '#243b6b');
      sky.addColorStop(0.55, '#f0a06a');
      sky.addColorStop(1, '#fbe3b0');
      context.fillStyle = sky;
      context.fillRect(0, 0, wide, high);
      context.fillStyle = '#fff4d6';
      context.beginPath();
      context.arc(wide * 0.62, high * 0.6, Math.min(wide, high) * 0.12, 0, 7);
      context.fill();
      context.fillStyle = '#16303a';
      context.fillRect(0, high * 0.72, wide, high);
      if (isNoisy) {
        const pixels = context.getImageData(0, 0, wide, high);
        for (let at = 0; at < pixels.data.length; at += 65_536) crypto.getRandomValues(pixels.data.subarray(at, at + 65_536));
        for (let at = 3; at < pixels.data.length; at += 4) pixels.data[at] = 255;
        context.putImageData(pixels, 0, 0);
      }
      const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
      let text = '';
      for (const byte of bytes) text += String.fromCharCode(byte);
      return btoa(text);
    },
    [width, height, noisy],
  );
  return { name, mimeType: 'image/png', buffer: Buffer.from(base64, 'base64') };
}

/** Pastes, drags or drops files. */
function give(person, selector, kind, files) {
  return person.page.evaluate(
    ([place, type, given]) => {
      const transfer = new DataTransfer();
      for (const { name, mimeType, base64 } of given) {
        transfer.items.add(new File([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], name, { type: mimeType }));
      }
      const event = type === 'paste' ? new ClipboardEvent(type, { clipboardData: transfer, bubbles: true, cancelable: true }) : new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
      document.querySelector(place).dispatchEvent(event);
    },
    [selector, kind, files.map(({ name, mimeType, buffer }) => ({ name, mimeType, base64: buffer.toString('base64') }))],
  );
}

/** The image's own size, when it is loaded. */
async function natural(image) {
  await image.waitFor();
  return image.evaluate(async (element) => {
    await element.decode();
    return { width: element.naturalWidth, height: element.naturalHeight };
  });
}
