// Which failures are tried again, and when.

import { type AgentPlatformError, ConnectionFailedError, RequestTimeoutError } from './errors.js';

/** The longest `Retry-After` that is waited for, in seconds. */
const LONGEST_RETRY_AFTER = 60;
/** The wait before the first retry, which doubles with each, and the longest one, in milliseconds. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;

const STATUSES = new Set([408, 429, 500, 502, 503, 504]);

/**
 * The milliseconds to wait before the call is tried again after `attempt` retries; undefined where that would be of no
 * use. Never earlier than the server asks, and spread, so that callers do not come back all at once.
 */
export function retryDelay(error: AgentPlatformError, attempt: number, random = Math.random): number | undefined {
  if (!isRetryable(error)) return undefined;
  const asked = error.retryAfter ?? 0;
  if (asked > LONGEST_RETRY_AFTER) return undefined;
  const backoff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt) * (0.5 + random() / 2);
  return Math.max(asked * 1000, backoff);
}

function isRetryable(error: AgentPlatformError): boolean {
  if (error instanceof ConnectionFailedError || error instanceof RequestTimeoutError) return true;
  // A conflict passes only where the first request is still running: then the server says when to ask again.
  if (error.status === 409) return error.retryAfter !== undefined;
  return error.status !== undefined && STATUSES.has(error.status);
}

/** Waits; fails with the signal's reason as soon as that is aborted. */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}
