// Webhooks: whether the server sent them.

import { WebhookVerificationError, isRecord } from './errors.js';
import { webCrypto } from './webcrypto.js';

/** How far a webhook's time may be from now, in seconds. */
const DEFAULT_TOLERANCE = 300;
const PREFIX = 'whsec_';

/** Bytes as the cryptography takes them. */
type Bytes = Uint8Array<ArrayBuffer>;

/** What happened in an app. */
export interface WebhookEvent {
  event: 'session.started' | 'session.ended' | 'conversation.escalated' | (string & {});
  timestamp: string;
  data: Record<string, unknown>;
}

/** The headers of a request as frameworks have them: an object with names in any case, or `Headers`. */
export type WebhookHeaders = { get(name: string): string | null } | HeaderRecord;
type HeaderRecord = Record<string, string | string[] | undefined>;

export interface VerifyWebhookOptions {
  /** How far the signed time may be from now, in seconds: 300 if it is not given. */
  toleranceSeconds?: number | undefined;
}

/**
 * The event that a webhook tells of, once its signature has been checked; fails with a {@link WebhookVerificationError}.
 *
 * `webhook-signature` is checked, and with it the time, where the request has it and the secret is one of Standard
 * Webhooks (`whsec_` and base64); `x-kore-signature` otherwise.
 *
 * @param payload the body as it came, before anything parsed it
 * @param secret the webhook's secret, as it was shown
 */
export async function verifyWebhook(
  payload: string | Uint8Array | ArrayBuffer,
  headers: WebhookHeaders,
  secret: string,
  options: VerifyWebhookOptions = {},
): Promise<WebhookEvent> {
  if (typeof secret !== 'string' || secret === '') throw new WebhookVerificationError('There is no secret');
  const body = bytesOf(payload);
  const [id, time, signatures] = ['id', 'timestamp', 'signature'].map((name) => header(headers, `webhook-${name}`));
  const key = standardKey(secret);
  if (id && time && signatures && key) {
    checkTime(time, options.toleranceSeconds ?? DEFAULT_TOLERANCE);
    const signed = joined(encode(`${id}.${time}.`), body);
    const given = signatures.split(' ').map((text) => (text.startsWith('v1,') ? base64(text.slice(3)) : undefined));
    await checkSignature(key, signed, given);
  } else {
    const hex = header(headers, 'x-kore-signature');
    if (!hex) throw new WebhookVerificationError('The request has no signature');
    await checkSignature(encode(secret), body, [fromHex(hex)]);
  }
  return readEvent(body);
}

/** `subtle.verify` compares in constant time. */
async function checkSignature(
  key: Bytes,
  signed: Bytes,
  given: (Bytes | undefined)[],
): Promise<void> {
  const { subtle } = await webCrypto();
  const hmac = await subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  for (const signature of given) {
    if (signature && (await subtle.verify('HMAC', hmac, signature, signed))) return;
  }
  throw new WebhookVerificationError('The signature is wrong');
}

function checkTime(text: string, tolerance: number): void {
  const seconds = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  // Written so that a tolerance which is no number lets nothing pass.
  if (!(Math.abs(Date.now() / 1000 - seconds) <= tolerance)) {
    throw new WebhookVerificationError('The webhook is too old, or of the future');
  }
}

function readEvent(body: Uint8Array): WebhookEvent {
  let event: unknown;
  try {
    event = JSON.parse(new TextDecoder().decode(body));
  } catch (cause) {
    throw new WebhookVerificationError('The body is not JSON', { cause });
  }
  if (!isEvent(event)) throw new WebhookVerificationError('The body is no event');
  return event;
}

function isEvent(value: unknown): value is WebhookEvent {
  if (!isRecord(value)) return false;
  return typeof value['event'] === 'string' && typeof value['timestamp'] === 'string' && isRecord(value['data']);
}

function header(headers: WebhookHeaders, wanted: string): string | undefined {
  if (typeof headers.get === 'function') return headers.get(wanted) ?? undefined;
  for (const [name, value] of Object.entries(headers as HeaderRecord)) {
    if (name.toLowerCase() === wanted && value !== undefined) return Array.isArray(value) ? value.join(' ') : value;
  }
  return undefined;
}

function bytesOf(payload: string | Uint8Array | ArrayBuffer): Bytes {
  if (typeof payload === 'string') return encode(payload);
  if (payload instanceof Uint8Array) return Uint8Array.from(payload);
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  throw new WebhookVerificationError('The payload must be the raw body, not what was parsed from it');
}

function encode(text: string): Bytes {
  return Uint8Array.from(new TextEncoder().encode(text));
}

function joined(first: Uint8Array, second: Uint8Array): Bytes {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** The key that Standard Webhooks signs with, if the secret is one of its. */
function standardKey(secret: string): Bytes | undefined {
  const key = secret.startsWith(PREFIX) ? base64(secret.slice(PREFIX.length)) : undefined;
  return key && key.length > 0 ? key : undefined;
}

/** The bytes of base64 in its one right form. */
function base64(text: string): Bytes | undefined {
  try {
    const binary = atob(text);
    return btoa(binary) === text ? Uint8Array.from(binary, (char) => char.charCodeAt(0)) : undefined;
  } catch {
    return undefined;
  }
}

function fromHex(text: string): Bytes | undefined {
  if (!/^(?:[0-9a-f]{2})+$/i.test(text)) return undefined;
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
