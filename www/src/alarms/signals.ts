import { Listeners } from '../listeners';
import type { AlarmMessage } from '../generated/contract';
import type { Received } from './desk';

const STORAGE_KEY = 'wirehub-demo.sound';

/** The tones of each severity: frequency in Hz, and beginning and length in seconds. */
const TONES: Readonly<Record<AlarmMessage['severity'], readonly (readonly [number, number, number])[]>> = {
  info: [[880, 0, 0.25]],
  warning: [[660, 0, 0.18], [880, 0.22, 0.3]],
  critical: [[880, 0, 0.14], [660, 0.18, 0.14], [880, 0.36, 0.14], [660, 0.54, 0.3]],
};

/** A sound and the browser's notification for a new alarm. A person switches each of them on. */
export class Signals {
  readonly changes = new Listeners<void>();
  #audio: AudioContext | undefined;
  #sound = localStorageHas(STORAGE_KEY);

  constructor() {
    // A browser plays nothing before the first gesture in the page.
    if (this.#sound) window.addEventListener('pointerdown', () => this.#openAudio(), { once: true });
  }

  get sound(): boolean {
    return this.#sound;
  }

  /** Called by a gesture. Switching it on plays a tone. */
  setSound(on: boolean): void {
    this.#sound = on;
    storeFlag(STORAGE_KEY, on);
    if (on) this.#play('info');
    this.changes.notify();
  }

  /** `unsupported`: the browser has no notifications. */
  get notifications(): NotificationPermission | 'unsupported' {
    return 'Notification' in window ? Notification.permission : 'unsupported';
  }

  /** Called by a gesture: the browser asks the person. */
  async askForNotifications(): Promise<void> {
    if (this.notifications === 'default') await Notification.requestPermission();
    this.changes.notify();
  }

  /** Draws attention to a new alarm. */
  signal({ id, message }: Received): void {
    if (this.#sound) this.#play(message.severity);
    // A person who looks at the page sees it there.
    if (this.notifications !== 'granted' || document.hasFocus()) return;
    try {
      const shown = new Notification(message.text, { body: `Alarm from ${message.name}`, tag: id, requireInteraction: message.severity === 'critical' });
      shown.addEventListener('click', () => {
        window.focus();
        shown.close();
      });
    } catch {
      // Some phones allow notifications only from a service worker.
    }
  }

  #openAudio(): AudioContext {
    this.#audio ??= new AudioContext();
    void this.#audio.resume();
    return this.#audio;
  }

  #play(severity: AlarmMessage['severity']): void {
    const audio = this.#openAudio();
    for (const [frequency, begin, length] of TONES[severity]) {
      const tone = new OscillatorNode(audio, { type: 'sine', frequency });
      const volume = new GainNode(audio, { gain: 0 });
      const start = audio.currentTime + begin;
      // A soft beginning and end: a hard one clicks.
      volume.gain.setValueAtTime(0, start);
      volume.gain.linearRampToValueAtTime(0.2, start + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.001, start + length);
      tone.connect(volume).connect(audio.destination);
      tone.start(start);
      tone.stop(start + length);
    }
  }
}

function localStorageHas(key: string): boolean {
  try {
    return localStorage.getItem(key) !== null;
  } catch {
    return false;
  }
}

function storeFlag(key: string, on: boolean): void {
  try {
    if (on) localStorage.setItem(key, 'on');
    else localStorage.removeItem(key);
  } catch {
    // A browser may deny storage: the choice lasts as long as the page.
  }
}
