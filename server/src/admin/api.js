// The server's HTTP API, and its key.

/** The time limit of a request, in ms. */
const PATIENCE = 10_000;
/** The storage entry with the key, while this tab is open. Other tabs do not see it. */
const KEPT_AS = 'wirehub-api-key';

/** A request that failed or did not reach the server. */
export class ApiError extends Error {
  /** The status; 0 without an answer. */
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

  /** The result of an operation; `undefined` if it has none. */
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
        // A string is JSON already: its numbers may have more digits than JavaScript's.
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
    if (!response.ok) throw new ApiError(response.status, detailOf(text) ?? `The server answered ${response.status}.`);
    return text === '' ? undefined : JSON.parse(text);
  }
}

/** Escapes a segment of a path. */
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
