import { Input } from './machine.js';

/** Some are the window's, some the document's; workers have the first two. */
const EVENTS: Readonly<Record<string, (event: Event) => Input | undefined>> = {
  online: () => Input.Online,
  offline: () => Input.Offline,
  pageshow: () => Input.Back,
  // A page that is kept for when its user goes back to it must not have a connection.
  pagehide: (event) => ((event as PageTransitionEvent).persisted ? Input.PutAside : undefined),
  resume: () => Input.Back,
  visibilitychange: () => (document.hidden ? undefined : Input.Back),
};

/** On their way down the document's events pass the window, whether they rise again or not. */
const CAPTURE = { capture: true };

/** Tells of what happens to the page; gives a function that ends this. */
export function watchPage(tell: (event: Input) => void): () => void {
  // Not every place that runs JavaScript has events.
  const scope: Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>> = globalThis;
  const listener = (event: Event): void => {
    const meaning = EVENTS[event.type]?.(event);
    if (meaning !== undefined) tell(meaning);
  };
  for (const type in EVENTS) scope.addEventListener?.(type, listener, CAPTURE);
  return () => {
    for (const type in EVENTS) scope.removeEventListener?.(type, listener, CAPTURE);
  };
}
