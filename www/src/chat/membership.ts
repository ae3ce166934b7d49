import { PublicationEvent, type Publication, type Subscription } from '@wirehub/client';
import type { ChatMessage } from '../generated/contract';
import { describe, type Hub } from '../hub';
import type { RoomName } from '../names';

export interface MembershipEvents {
  /** In the room: for the first time, and again after each reconnect. */
  joined(): void;
  /** Refused, or removed from the room. */
  refused(why: string): void;
  published(publication: Publication<ChatMessage>): void;
}

/** The membership in one room, from construction until `leave`. */
export class Membership {
  readonly #subscription: Subscription<ChatMessage>;
  readonly #leaving = new AbortController();

  constructor(hub: Hub, room: RoomName, events: MembershipEvents) {
    const { signal } = this.#leaving;
    this.#subscription = hub.client.subscribe(`chat:${room}`);
    this.#subscription.addEventListener(
      'publication',
      (event) => {
        if (event instanceof PublicationEvent) events.published(event.publication as Publication<ChatMessage>);
      },
      { signal },
    );
    this.#subscription.addEventListener('subscribed', () => events.joined(), { signal });
    this.#subscription.addEventListener('unsubscribed', (event) => {
      events.refused('reason' in event && typeof event.reason === 'string' ? event.reason : 'the server ended it');
    }, { signal });
    this.#subscription.ready.catch((error: unknown) => {
      if (!signal.aborted) events.refused(describe(error));
    });
  }

  /** Leaves the room; no more messages of it arrive. */
  leave(): void {
    this.#leaving.abort();
    // Without a connection the server has forgotten this membership anyway: a failure changes nothing.
    this.#subscription.unsubscribe().catch(() => undefined);
  }
}
