/** A listener for events of a type: a function, or an object with the method `handleEvent`. */
export type Listener<T, E> = ((this: T, event: E) => unknown) | { handleEvent(event: E): unknown } | null;
