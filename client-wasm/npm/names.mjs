// Short names between the module and its JavaScript: wasm-bindgen's have prefixes and hashes, which compress badly.

const IMPORTS = 2;
const EXPORTS = 7;

/**
 * Returns the module and its glue code with short names for what one imports from the other: `set_onmessage` in place of
 * `__wbg_set_onmessage_26abc49cfa5f9ffc`.
 */
export function withShortNames(module, glue) {
  const names = new Names();
  const sections = [];
  const reader = new Reader(module, 8);
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const body = reader.bytes(reader.number());
    sections.push(section(id, id === IMPORTS ? imports(body, names) : id === EXPORTS ? exports(body, names) : body));
  }
  // Every name is a whole word of the glue code.
  const words = glue.replaceAll(/\b\w+\b/g, (word) => names.shortened.get(word) ?? word);
  return { module: Buffer.concat([module.subarray(0, 8), ...sections]), glue: words };
}

/** The import section (WebAssembly Core Specification 2.0, section 5.5.5). */
function imports(body, names) {
  return vector(body, (reader) => {
    const from = reader.text();
    const name = names.short(reader.text());
    // A function and its type: nothing else is imported.
    if (reader.byte() !== 0) throw new Error(`the module imports ${name}, which is not a function: adapt names.mjs`);
    return [text(from), text(name), [0], number(reader.number())];
  });
}

/** The export section (section 5.5.10). */
function exports(body, names) {
  return vector(body, (reader) => [text(names.short(reader.text())), [reader.byte()], number(reader.number())]);
}

class Names {
  shortened = new Map();
  #taken = new Set();

  short(name) {
    const plain = name.replace(/^.*__(?=invoke__h)/, '').replace(/^_*(wbg|wbindgen)_+/, '').replace(/_+h?[0-9a-f]{16}(_\d+)?$/, '');
    let unique = plain;
    for (let count = 2; this.#taken.has(unique); count++) unique = plain + count;
    this.#taken.add(unique);
    this.shortened.set(name, unique);
    return unique;
  }
}

class Reader {
  #bytes;
  #at;

  constructor(bytes, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get isAtEnd() {
    return this.#at === this.#bytes.length;
  }

  byte() {
    return this.#bytes[this.#at++];
  }

  bytes(length) {
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  text() {
    return this.bytes(this.number()).toString();
  }

  /** LEB128 (section 5.2.2). */
  number() {
    const byte = this.byte();
    return byte < 128 ? byte : byte - 128 + 128 * this.number();
  }
}

function vector(body, entry) {
  const reader = new Reader(body);
  const count = reader.number();
  const entries = Array.from({ length: count }, () => entry(reader));
  return Buffer.concat([number(count), ...entries.flat()].map((part) => Buffer.from(part)));
}

function section(id, body) {
  return Buffer.concat([Buffer.from([id, ...number(body.length)]), body]);
}

function text(value) {
  const bytes = Buffer.from(value);
  return [...number(bytes.length), ...bytes];
}

function number(value) {
  return value < 128 ? [value] : [(value % 128) + 128, ...number(Math.floor(value / 128))];
}
