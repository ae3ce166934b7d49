// Checks and actions of the tests inside the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/**
 * Watches for messages that are in the log both as sent and as not sent yet. Returns a function that returns the texts
 * of those messages, however briefly it happened.
 */
export async function shownTwice(person) {
  await person.page.evaluate(() => {
    globalThis.shownTwice = [];
    const texts = (list) => [...document.querySelectorAll(`#${list} .text`)].map((text) => text.textContent);
    let said = 0;
    new MutationObserver(() => {
      // Only the messages that came with this change, because an earlier one may have the same text.
      const fresh = texts('messages').slice(said);
      said += fresh.length;
      globalThis.shownTwice.push(...texts('outbox').filter((text) => fresh.includes(text)));
    }).observe(document.getElementById('log'), { childList: true, subtree: true });
  });
  return () => person.page.evaluate(() => globalThis.shownTwice);
}

/** Sends that many messages, each as soon as the earlier ones are sent. */
export function sayMany(person, count) {
  return person.page.evaluate(async (total) => {
    const [field, form, outbox] = ['message', 'composer', 'outbox'].map((id) => document.getElementById(id));
    for (let sent = 1; sent <= total; sent += 1) {
      field.value = `message ${sent}`;
      form.requestSubmit();
      while (outbox.childElementCount > 20) await new Promise(requestAnimationFrame);
    }
    while (outbox.childElementCount > 0) await new Promise(requestAnimationFrame);
  }, count);
}

export function atEnd(person) {
  return person.page.evaluate(() => {
    const log = document.getElementById('log');
    return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
  });
}

/** Checks that neither the page nor any control reaches beyond the sides of the screen. */
export async function fitsPhone(person) {
  const { width, outside } = await person.page.evaluate(() => ({
    width: document.documentElement.scrollWidth,
    outside: [...document.querySelectorAll('button, input, textarea, select, a, h1, .text')]
      .filter((element) => element.checkVisibility() && !element.matches('#skip, .segments input'))
      .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return left < 0 || right > window.innerWidth;
      })
      .map((element) => element.id || element.textContent),
  }));
  assert.equal(width, 360);
  assert.deepEqual(outside, []);
}

export async function noViolations(person) {
  // A colour in the middle of a transition is no colour of the design.
  await person.page.evaluate(() => Promise.all(document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity).map((animation) => animation.finished.catch(() => undefined))));
  await person.page.evaluate(axe);
  const violations = await person.page.evaluate(async () => (await globalThis.axe.run()).violations);
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n')}`);
  assert.deepEqual(found, []);
}

/** Presses Tab until an element that matches has the focus, and checks that it shows the focus. */
export async function tabTo(person, selector, most = 60) {
  for (let presses = 0; presses < most; presses += 1) {
    await person.page.keyboard.press('Tab');
    const state = await person.page.evaluate((wanted) => {
      const { activeElement } = document;
      if (!activeElement.matches(wanted)) return 'elsewhere';
      // The radio buttons are invisible, and the box around the message shows its focus: the element beside or around it.
      const shown = activeElement.matches('[type="radio"]') ? activeElement.nextElementSibling : (activeElement.closest('.composer-row') ?? activeElement);
      const { outlineStyle, boxShadow } = getComputedStyle(shown);
      return outlineStyle !== 'none' || boxShadow !== 'none' ? 'shown' : 'hidden';
    }, selector);
    if (state === 'elsewhere') continue;
    assert.equal(state, 'shown', `${selector} does not show that it has the focus`);
    return;
  }
  assert.fail(`Tab never came to ${selector}`);
}
