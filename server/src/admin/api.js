// The server's HTTP API, and the key for it.

/** How long a request may take, in ms. */
const PATIENCE = 10_000;
/** Where the key is while the tab is open; other tabs do not see it. */
const KEPT_AS = 'wirehub-api-key';

/** A request that the server did not carry out, or that did not reach it. */
export class ApiError extends Error {
  /** The status, 0 where there is none. */
  status;

  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  /** With the key of this tab, if it has one. */
  static kept() {
    const key = sessionStorage.getItem(KEPT_AS);
    return key === null ? undefined : new Api(key);
  }

  keep() {
    sessionStorage.setItem(KEPT_AS, this.#key);
  }

  static forget() {
    sessionStorage.removeItem(KEPT_AS);
  }

  /** What an operation says; `undefined` where it says nothing. */
  async get(path, query = {}) {
    const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
    const parameters = new URLSearchParams(wanted).toString();
    return this.#request('GET', parameters === '' ? path : `${path}?${parameters}`);
  }

  async post(path, body) {
    return this.#request('POST', path, body);
  }

  async delete(path) {
    return this.#request('DELETE', path);
  }

  async #request(method, path, body) {
    let response;
    let text;
    try {
      response = await fetch(`api/v1/${path}`, {
        method,
        headers: {
          Authorization: `Bearer ${this.#key}`,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        // A text is JSON already: numbers in it may be more exact than JavaScript's.
        body: typeof body === 'string' ? body : JSON.stringify(body),
        cache: 'no-store',
        credentials: 'omit',
        referrerPolicy: 'no-referrer',
        signal: AbortSignal.timeout(PATIENCE),
      });
      text = await response.text();
    } catch {
      throw new ApiError(0, 'The server does not answer.');
    }
    if (!response.ok) throw new ApiError(response.status, detailOf(text) ?? `The server said ${response.status}.`);
    return text === '' ? undefined : JSON.parse(text);
  }
}

/** A part of a path, whatever is in it. */
export function segment(text) {
  return encodeURIComponent(text);
}

function detailOf(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return undefined;
  }
}
