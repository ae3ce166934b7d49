/** Has `again` called when there may be a network again: it is back, or the page is. Gives a function that ends this. */
export function watchPage(again: () => void): () => void {
  // A worker has no document, and not every place that runs JavaScript has events.
  const scope: Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>> = globalThis;
  const onVisible = (): void => {
    if (document.visibilityState === 'visible') again();
  };
  const page = typeof document === 'undefined' ? undefined : document;
  scope.addEventListener?.('online', again);
  scope.addEventListener?.('pageshow', again);
  page?.addEventListener('visibilitychange', onVisible);
  return () => {
    scope.removeEventListener?.('online', again);
    scope.removeEventListener?.('pageshow', again);
    page?.removeEventListener('visibilitychange', onVisible);
  };
}
