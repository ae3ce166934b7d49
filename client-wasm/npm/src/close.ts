import { badRequest } from './errors.js';
import { encoder } from './payload.js';

/**
 * @throws {WirehubError} a page may not close a WebSocket with this code or reason (RFC 6455, sections 5.5 and 7.4).
 */
export function refuseUnsendable(code: number, reason: string): void {
  if (code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999)) {
    throw badRequest(`a page may not send the close code ${code}: use 1000, or 3000 to 4999`);
  }
  if (reason !== '' && encoder.encode(reason).length > 123) throw badRequest('the reason is longer than 123 bytes: shorten it');
}
