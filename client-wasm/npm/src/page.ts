import { Input } from './machine.js';

/** Some events are the window's, some the document's; workers have the first two. */
const EVENTS: Readonly<Record<string, Input>> = {
  online: Input.Online,
  offline: Input.Offline,
  pageshow: Input.Back,
  pagehide: Input.PutAside,
  resume: Input.Back,
  visibilitychange: Input.Back,
};

/** Reports the events of the page's life, until the signal aborts. */
export function watchPage(tell: (event: Input) => void, signal: AbortSignal): void {
  // Some JavaScript environments have no events.
  const scope: Partial<Pick<EventTarget, 'addEventListener'>> = globalThis;
  const listener = (event: Event): void => {
    const { type, persisted } = event as PageTransitionEvent;
    // A page that is kept for when its user goes back to it must not have a connection.
    const matters = type === 'pagehide' ? persisted : type !== 'visibilitychange' || !document.hidden;
    if (matters) tell(EVENTS[type] as Input);
  };
  // In the capture phase the document's events pass the window, whether they bubble or not.
  for (const type in EVENTS) scope.addEventListener?.(type, listener, { capture: true, signal });
}
