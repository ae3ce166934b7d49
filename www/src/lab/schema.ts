/** A field of a message in Protocol Buffers. */
export interface Field {
  /** As in the JSON subprotocol: `retryAfter`. */
  readonly name: string;
  /** A scalar type, or the name of a message or an enum. */
  readonly type: string;
  readonly repeated: boolean;
}

/** The messages of a .proto file by name, each with its fields by number; and its enums, with their values. */
export interface Schema {
  readonly messages: ReadonlyMap<string, ReadonlyMap<number, Field>>;
  readonly enums: ReadonlyMap<string, ReadonlyMap<number, string>>;
}

const BLOCK = /^(message|enum|oneof) (\w+) \{(\})?/;
const FIELD = /^(repeated |optional )?(\w+) (\w+) = (\d+);/;
const VALUE = /^(\w+) = (\d+);/;

/** Reads a .proto file as plain as `common/proto/wirehub.proto`: the lab knows the protocol from its own definition. */
export function parseProto(text: string): Schema {
  const messages = new Map<string, Map<number, Field>>();
  const enums = new Map<string, Map<number, string>>();
  let fields = new Map<number, Field>();
  let values = new Map<number, string>();
  for (const line of text.split('\n').map((each) => each.trim())) {
    const [, block, blockName = ''] = BLOCK.exec(line) ?? [];
    const [, label, type = '', fieldName = '', fieldNumber] = FIELD.exec(line) ?? [];
    const [, valueName = '', valueNumber] = VALUE.exec(line) ?? [];
    if (block === 'message') messages.set(blockName, (fields = new Map()));
    else if (block === 'enum') enums.set(blockName, (values = new Map()));
    else if (fieldNumber !== undefined) fields.set(Number(fieldNumber), { name: camelCase(fieldName), type, repeated: label === 'repeated ' });
    else if (valueNumber !== undefined) values.set(Number(valueNumber), valueName);
  }
  return { messages, enums };
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
