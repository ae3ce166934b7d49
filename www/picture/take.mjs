// Takes the picture of the page in the README: `node take.mjs FILE` writes it as SVG, and what it was made from as PNG to
// target/artefacts. For the environment variables see ../tests/support/stage.mjs.
import { writeFileSync } from 'node:fs';

import { DemoServer } from '../tests/support/demo-server.mjs';
import { launch, Person } from '../tests/support/people.mjs';
import { draw } from './draw.mjs';
import { readPage } from './read.mjs';

const SIZE = { width: 1120, height: 640 };
const TITLE = 'The demo page: rooms and people, a chat with an image, and an alarm over it';
const ROOM = 'harbour';

/** The image that is sent: rendered for the page, and drawn as it is in the picture. */
const SUNSET = {
  viewBox: '0 0 640 400',
  body: `<linearGradient id="sky" x2="0" y2="1"><stop stop-color="#243b6b"/><stop offset=".55" stop-color="#f0a06a"/><stop offset=".75" stop-color="#fbe3b0"/></linearGradient>
<path d="M0 0H640V400H0Z" fill="url(#sky)"/><circle cx="420" cy="262" r="46" fill="#fff4d6"/><path d="M0 270L90 200 170 262 260 180 360 272 640 250V400H0Z" fill="#3b4a63"/><path d="M0 290H640V400H0Z" fill="#16303a"/><path d="M380 310H460M350 332H490M395 354H445" stroke="#f4c88f" stroke-width="6" stroke-linecap="round"/><path d="M120 340H250L226 372H150ZM180 240V334M186 250L238 326H186ZM174 268V326H136Z" fill="#f6efe2" stroke="#f6efe2" stroke-width="3"/>`,
};

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Name the file for the picture: node take.mjs FILE');

const server = await DemoServer.start();
const browser = await launch();
try {
  const ada = await scene();
  const items = await ada.page.evaluate(readPage);
  await ada.screenshot('picture');
  const svg = draw(items, { ...SIZE, title: TITLE, images: { 'sunset.png': SUNSET } });
  writeFileSync(file, svg);
  console.log(`${file}: ${Math.round(svg.length / 1024)} KiB, ${items.length} items`);
} finally {
  await browser.close();
  await server.stop();
}

/** Three people, as one of them sees it. */
async function scene() {
  const ada = await Person.open(browser, `${server.origin}/#chat/${ROOM}`, { name: 'Ada', viewport: SIZE, reducedMotion: 'reduce' });
  await ada.inRoom(ROOM);
  const grace = await Person.open(browser, `${server.origin}/#chat/${ROOM}`, { name: 'Grace' });
  await grace.inRoom(ROOM);
  const linus = await Person.open(browser, `${server.origin}/#chat/lobby`, { name: 'Linus' });
  await linus.inRoom('lobby');
  await ada.say('The new pumps are in. Who can see them from the quay?');
  await grace.page.setInputFiles('#file', { name: 'sunset.png', mimeType: 'image/png', buffer: await png(SUNSET) });
  // The page reads the file first. A message that is sent before has no image.
  await grace.page.waitForSelector('.tray-image img');
  await grace.page.fill('#message', 'I can. Quiet so far, and what a light!');
  await grace.page.press('#message', 'Enter');
  await ada.hears('I can. Quiet so far, and what a light!');
  await ada.page.waitForSelector('.shot.loaded img');
  await ada.react('what a light', 'Love');
  await linus.page.locator('#people-list a', { hasText: 'Ada' }).click();
  await linus.say('Lunch at noon?');
  await ada.reads('#people-list', /1 unread message/);
  await linus.go('alarms');
  await linus.raise({ severity: 'warning', text: 'Pump 2 is above 80 °C', to: 'Ada' });
  await ada.reads('.alarm-card', /Pump 2/);
  await grace.page.locator('#message').pressSequentially('Coming');
  await ada.reads('#typing', /Grace is writing/);
  // Nothing is pointed at, and nothing has the focus.
  await ada.page.mouse.move(0, 0);
  await ada.page.evaluate(() => document.activeElement.blur());
  await ada.page.waitForTimeout(500);
  return ada;
}

/** The drawing as a PNG file, in the memory. */
async function png({ viewBox, body }) {
  const [, , width, height] = viewBox.split(' ').map(Number);
  const page = await browser.newPage({ viewport: { width, height } });
  await page.setContent(`<body style="margin:0"><svg xmlns="http://www.w3.org/2000/svg" viewBox="${viewBox}" width="${width}" height="${height}">${body}</svg>`);
  const picture = await page.screenshot();
  await page.close();
  return picture;
}
