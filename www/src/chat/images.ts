import type { DemoClient } from '../client';
import type { ImageReference } from '../generated/contract';
import { accept, refuse, type Parsed } from '../parsed';
import { sizeOf } from '../words';
import type { LocalImage } from './message';

/** The media types that are shown. An SVG is not among them: it is a document, which may have scripts. */
const MEDIA: readonly string[] = ['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/avif'];
/** The largest file that is read, in bytes. */
const MAX_FILE = 30 * 1024 * 1024;
/** An image is made smaller until its file has at most this many bytes. */
const MAX_BYTES = 700 * 1024;
/** The longest side of a sent image, in pixels: the first one whose file is small enough. */
const SIDES = [1600, 1200, 800, 400];
/** The time limit without progress, in ms. */
const TIMEOUT = 60_000;
/** How many images stay in memory. */
const MAX_KEPT = 60;

/** Makes an image of a file small enough to be sent. That also removes the place where a photo was taken. */
export async function prepare(file: File): Promise<Parsed<LocalImage>> {
  if (!MEDIA.includes(file.type)) return refuse(`“${file.name}” is no image that can be shown here: choose a PNG, JPEG, WebP, GIF or AVIF.`);
  if (file.size > MAX_FILE) return refuse(`“${file.name}” has ${sizeOf(file.size)}: choose an image of at most ${sizeOf(MAX_FILE)}.`);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return refuse(`“${file.name}” can’t be read as an image.`);
  }
  const { width, height } = bitmap;
  // Drawing a GIF would stop it.
  let made: Made | undefined = file.type === 'image/gif' && file.size <= MAX_BYTES ? { blob: file, width, height } : undefined;
  for (const side of SIDES) {
    if (made !== undefined && made.blob.size <= MAX_BYTES) break;
    made = await draw(bitmap, side);
  }
  bitmap.close();
  if (made === undefined) return refuse(`“${file.name}” can’t be made smaller in this browser.`);
  const bytes = new Uint8Array(await made.blob.arrayBuffer());
  return accept({ file: file.name, media: made.blob.type, width: made.width, height: made.height, bytes, url: URL.createObjectURL(made.blob) });
}

interface Made {
  readonly blob: Blob;
  readonly width: number;
  readonly height: number;
}

async function draw(bitmap: ImageBitmap, side: number): Promise<Made | undefined> {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  const width = (canvas.width = Math.max(1, Math.round(bitmap.width * scale)));
  const height = (canvas.height = Math.max(1, Math.round(bitmap.height * scale)));
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0, width, height);
  // A browser that can't write WebP writes PNG.
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/webp', 0.82));
  return blob === null ? undefined : { blob, width, height };
}

/**
 * Puts an image into the history of the room's images, and returns its place there. `progress` receives the sent part of a
 * large one: 0 to 1.
 */
export async function upload(client: DemoClient, room: string, image: LocalImage, key: string, progress: (part: number) => void): Promise<ImageReference> {
  const { file, media, width, height, bytes } = image;
  const attachment = { head: { file, media, width, height }, bytes };
  const position = await client.publish(`images:${room}`, attachment, { key, timeout: TIMEOUT, onProgress: (sent, total) => progress(sent / total) });
  if (position === undefined) throw new Error('the server keeps no images');
  return { room, ...position, width, height, bytes: bytes.length, file };
}

/** The images of the conversations: each is read once, and the last ones stay in memory. */
export class ImageStore {
  readonly #client: DemoClient;
  /** Addresses of this page, by the place of the image. */
  readonly #kept = new Map<string, Promise<string>>();

  constructor(client: DemoClient) {
    this.#client = client;
  }

  /** The address of the image in this page. */
  load(reference: ImageReference): Promise<string> {
    const key = `${reference.room} ${reference.epoch} ${reference.offset}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    const loading = this.#read(reference);
    this.#kept.set(key, loading);
    // A later attempt may succeed.
    loading.catch(() => this.#kept.delete(key));
    const [oldest] = this.#kept;
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) {
      this.#kept.delete(oldest[0]);
      oldest[1].then((url) => URL.revokeObjectURL(url), () => undefined);
    }
    return loading;
  }

  async #read({ room, epoch, offset }: ImageReference): Promise<string> {
    const page = await this.#client.history(`images:${room}`, { since: { epoch, offset: offset - 1 }, limit: 1, timeout: TIMEOUT });
    const image = page.publications.find((publication) => publication.offset === offset)?.data;
    if (image === undefined || !MEDIA.includes(image.head.media)) throw new Error('the server has this image no more');
    // A copy, because the type of the bytes allows memory that is shared with a worker, and a blob does not.
    return URL.createObjectURL(new Blob([image.bytes.slice()], { type: image.head.media }));
  }
}
