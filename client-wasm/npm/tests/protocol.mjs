// The part of wirehub.proto that a server played by a test needs.

/** The numbers of the fields in wirehub.proto. */
export const REQUEST = { connect: 2, subscribe: 3, unsubscribe: 4, publish: 5, history: 6, presence: 7, call: 8, cancel: 9, refresh: 10, acknowledge: 11, part: 12 };
export const ANSWER = { publication: 2, error: 3, connected: 4, subscribed: 5, published: 7, history: 8, presence: 9, called: 10, cancelled: 11, join: 13, leave: 14, refreshDue: 15, acknowledged: 17, alarm: 18, unsubscribed: 6, part: 19 };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A server's frame: a reply if there is an id. */
export function frame(id, field, body) {
  const content = [...(id === 0 ? [] : number(1, id)), ...nested(field, body)];
  return [...varint(content.length), ...content];
}

/** A server's frame in parts of `bytes` bytes, each a frame of its own. */
export function parts(whole, bytes) {
  const { end } = readVarint(whole, 0);
  const found = [];
  for (let at = end; at < whole.length; at += bytes) {
    const data = whole.slice(at, at + bytes);
    const left = whole.length - at - data.length;
    found.push(frame(0, ANSWER.part, [...(left > 0 ? number(2, left) : []), ...nested(3, data)]));
  }
  return found;
}

/** Puts together the commands that a client sends in parts. */
export function whole(commands) {
  let begun = [];
  return commands.flatMap((command) => {
    if (command.request !== REQUEST.part) return [command];
    let left = 0;
    for (let at = 0; at < command.body.length; ) {
      const tag = readVarint(command.body, at);
      const value = readVarint(command.body, tag.end);
      at = value.end;
      if (tag.value === 0x10) left = value.value;
      if (tag.value === 0x1a) {
        begun.push(...command.body.subarray(at, at + value.value));
        at += value.value;
      }
    }
    if (left > 0) return [];
    const bytes = begun;
    begun = [];
    return readCommands(new Uint8Array([...varint(bytes.length), ...bytes]));
  });
}

/** A text field. */
export const text = (field, value) => nested(field, encoder.encode(value));

/** A field of bytes, or with a message in it. */
export const nested = (field, bytes) => [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];

/** A field with a number. */
export const number = (field, value) => [...varint(field << 3), ...varint(value)];

/** The commands in a client's message: the id, the request and its body. */
export function readCommands(message) {
  const commands = [];
  for (let at = 0; at < message.length; ) {
    const length = readVarint(message, at);
    const end = length.end + length.value;
    const command = { id: 0, request: 0, body: new Uint8Array(), text: '' };
    for (at = length.end; at < end; ) {
      const tag = readVarint(message, at);
      const value = readVarint(message, tag.end);
      if (tag.value === 0x08) command.id = value.value;
      else {
        command.request = tag.value >> 3;
        command.body = message.subarray(value.end, value.end + value.value);
        command.text = decoder.decode(command.body);
      }
      at = tag.value === 0x08 ? value.end : value.end + value.value;
    }
    commands.push(command);
  }
  return commands;
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

function readVarint(bytes, at) {
  let value = 0;
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes[at++];
    value += (byte % 128) * factor;
    if (byte < 128) return { value, end: at };
  }
}
