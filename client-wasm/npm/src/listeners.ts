/** A listener for events of a type: a function, or an object. */
export type Listener<T, E> = ((this: T, event: E) => unknown) | ListenerObject<E> | null;

/** An object that listens to events. */
export interface ListenerObject<E> {
  /** Called with each event. */
  handleEvent(event: E): unknown;
}
