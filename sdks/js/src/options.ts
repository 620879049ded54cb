// What a client is made with.

import { AgentPlatformError } from './errors.js';

/** This package's version. */
export const VERSION = '0.1.0';

const DEFAULT_TIMEOUT = 60_000;
const DEFAULT_RETRIES = 2;

export interface ClientOptions {
  /** A key of the app, `sk-app-…`; the environment variable `ORRERY_API_KEY` where it is not given. */
  apiKey?: string | undefined;
  /**
   * Where the API is, with or without `/v1` at its end: `https://example.com`, `https://example.com/prod`; the
   * environment variable `ORRERY_BASE_URL` where it is not given.
   */
  baseUrl?: string | undefined;
  /**
   * How long one attempt of a call may take, in milliseconds: 60,000 if it is not given. For a stream: until its first
   * event, and then how long the server may be silent.
   */
  timeout?: number | undefined;
  /** How often a call that failed is tried again: twice if it is not given. */
  maxRetries?: number | undefined;
  /** Called instead of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /** Sent with every request. */
  headers?: Record<string, string> | undefined;
}

/** Options that have been read. */
export interface Settings {
  apiKey: string;
  /** Ends with `/v1`. */
  baseUrl: string;
  timeout: number;
  maxRetries: number;
  fetch: typeof fetch;
  headers: Headers;
}

/** Fails with what is missing or wrong. */
export function readOptions(options: ClientOptions): Settings {
  const { maxRetries = DEFAULT_RETRIES } = options;
  if (!Number.isInteger(maxRetries) || maxRetries < 0) {
    throw new AgentPlatformError('maxRetries must be a whole number, 0 or more');
  }
  return {
    apiKey: readKey(options.apiKey ?? environment('ORRERY_API_KEY')),
    baseUrl: readBaseUrl(options.baseUrl ?? environment('ORRERY_BASE_URL')),
    timeout: requirePositive('timeout', options.timeout ?? DEFAULT_TIMEOUT),
    maxRetries,
    fetch: options.fetch ?? ((...request) => fetch(...request)),
    headers: readHeaders(options.headers ?? {}),
  };
}

/** The number, if it is one and above 0. */
export function requirePositive(name: string, value: number): number {
  if (typeof value === 'number' && value > 0) return value;
  throw new AgentPlatformError(`${name} must be a number of milliseconds above 0`);
}

function readKey(key: string | undefined): string {
  if (!key) throw new AgentPlatformError('There is no API key: give apiKey, or set ORRERY_API_KEY');
  if (!/^[\x21-\x7e]+$/.test(key)) throw new AgentPlatformError('apiKey has characters that no API key has');
  return key;
}

function readBaseUrl(text: string | undefined): string {
  if (!text) throw new AgentPlatformError('There is no base URL: give baseUrl, or set ORRERY_BASE_URL');
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new AgentPlatformError(`baseUrl is not a URL: ${text}`, { cause });
  }
  if (!/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password) {
    throw new AgentPlatformError('baseUrl must be http or https, without user, query and fragment');
  }
  const base = url.href.replace(/\/+$/, '');
  return base.endsWith('/v1') ? base : `${base}/v1`;
}

function readHeaders(given: Record<string, string>): Headers {
  try {
    const headers = new Headers(given);
    // A browser says what it is by itself.
    const isNode = runtime?.versions?.['node'] !== undefined;
    if (isNode && !headers.has('user-agent')) headers.set('user-agent', `orrery-agent-platform-js/${VERSION}`);
    return headers;
  } catch (cause) {
    throw new AgentPlatformError('headers cannot be sent as they are', { cause });
  }
}

interface Runtime {
  env?: Record<string, string | undefined>;
  versions?: Record<string, string | undefined>;
}

/** What Node and its like have beyond browsers. */
const runtime = (globalThis as { process?: Runtime }).process;

function environment(name: string): string | undefined {
  return runtime?.env?.[name];
}
