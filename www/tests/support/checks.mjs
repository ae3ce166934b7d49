// What the tests look at, or do, inside the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/**
 * Watches whether a message stands in the log both as said and as not sent yet. Returns a function that gives the
 * texts for which that happened, however briefly.
 */
export async function shownTwice(person) {
  await person.page.evaluate(() => {
    globalThis.shownTwice = [];
    const texts = (list) => [...document.querySelectorAll(`#${list} .text`)].map((text) => text.textContent);
    let said = 0;
    new MutationObserver(() => {
      // Only the messages that came with this change: an earlier one may well have the same words.
      const fresh = texts('messages').slice(said);
      said += fresh.length;
      globalThis.shownTwice.push(...texts('outbox').filter((text) => fresh.includes(text)));
    }).observe(document.getElementById('log'), { childList: true, subtree: true });
  });
  return () => person.page.evaluate(() => globalThis.shownTwice);
}

/** Sends that many messages, each as soon as those before are out. */
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

/** Neither the page nor anything that one can press reaches beyond the screen's sides. */
export async function fitsPhone(person) {
  const { width, outside } = await person.page.evaluate(() => ({
    width: document.documentElement.scrollWidth,
    outside: [...document.querySelectorAll('button, input, textarea, a, h1, .text')]
      .filter((element) => element.checkVisibility() && element.id !== 'skip')
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
  await person.page.evaluate(axe);
  const violations = await person.page.evaluate(async () => (await globalThis.axe.run()).violations);
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n')}`);
  assert.deepEqual(found, []);
}
