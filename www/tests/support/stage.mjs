// A browser and a server for the tests of a file.
//
//   WIREHUB_TEST_PAGE    address of a running demo server's page; without it each file starts one
//   WIREHUB              the program `wirehub` (default: the one in ../../target)
//   WIREHUB_PAGE_INSIDE  set if the program has the page in it; otherwise the page is the one in ../../dist
//   CHROMIUM             the browser (default: /usr/bin/chromium)
import { after, before } from 'node:test';

import { DemoServer } from './demo-server.mjs';
import { launch, Person } from './people.mjs';

let rooms = 0;

/** Opens a browser before the tests of this file, and closes it after them. */
export function openStage() {
  const stage = new Stage();
  before(() => stage.open());
  after(() => stage.close());
  return stage;
}

class Stage {
  browser;
  origin;
  #server;

  async open() {
    const given = process.env['WIREHUB_TEST_PAGE'];
    if (given === undefined) this.#server = await DemoServer.start({ durable: true, inside: process.env['WIREHUB_PAGE_INSIDE'] !== undefined });
    this.origin = given === undefined ? this.#server.origin : new URL(given).origin;
    this.browser = await launch();
  }

  async close() {
    await this.browser?.close();
    await this.#server?.stop();
  }

  /** Opens the page at a place of its address. */
  visit(place, options, at = this.origin, prepare) {
    return Person.open(this.browser, `${at}/#${place}`, options, prepare);
  }

  /** Opens the page in a room, and waits until the person has entered. */
  async enter(room, options, at) {
    const person = await this.visit(`chat/${room}`, options, at);
    await person.inRoom(room);
    return person;
  }
}

/** Ends these visits. With `{ expected }` first, problems that match it are part of the test. */
export async function leave(...people) {
  const settings = people[0] instanceof Person ? {} : people.shift();
  for (const person of people) await person.leave(settings);
}

/** A room that no other test, and no earlier run against the same server, has used. */
export function freshRoom() {
  rooms += 1;
  return `t${Date.now().toString(36)}-${rooms}`;
}
