// The time that one attempt of a call has, and its cancellation.

import { AgentPlatformError, ConnectionFailedError, RequestTimeoutError } from './errors.js';

/** The longest time that timers can have, in milliseconds; beyond, they would end at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Aborts its `signal` when the caller's is, or when its time is over. */
export class Attempt {
  readonly #controller = new AbortController();
  readonly #timeout: number;
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#caller?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(timeout: number, caller: AbortSignal | undefined) {
    this.#timeout = timeout;
    this.#caller = caller;
    if (caller?.aborted) this.#onAbort();
    caller?.addEventListener('abort', this.#onAbort);
    this.startTimer();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The time begins anew. */
  startTimer(): void {
    this.stopTimer();
    if (this.#timeout > LONGEST_TIMER) return;
    this.#timer = setTimeout(() => {
      this.#isOver = true;
      this.#controller.abort();
    }, this.#timeout);
  }

  stopTimer(): void {
    clearTimeout(this.#timer);
  }

  /**
   * What `work` comes to; fails as soon as the signal is aborted, whether `work` heeds it or not. The fetch of Node 18
   * before 18.16 forgets its signal when memory is collected.
   */
  async within<T>(work: Promise<T>): Promise<T> {
    let onAbort = (): void => {};
    const aborted = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(this.signal.reason as Error);
      this.signal.addEventListener('abort', onAbort);
    });
    if (this.signal.aborted) onAbort();
    try {
      return await Promise.race([work, aborted]);
    } finally {
      this.signal.removeEventListener('abort', onAbort);
    }
  }

  /** Closes the HTTP request if it is still open. */
  end(): void {
    this.stopTimer();
    this.#caller?.removeEventListener('abort', this.#onAbort);
    this.#controller.abort();
  }

  /** The error that `error` means for this attempt; throws the caller's own reason where the caller cancelled. */
  explain(error: unknown): AgentPlatformError {
    if (this.#caller?.aborted) throw this.#caller.reason;
    if (this.#isOver) {
      return new RequestTimeoutError(`The server sent nothing in time (${this.#timeout} ms)`, { cause: error });
    }
    if (error instanceof AgentPlatformError) return error;
    return new ConnectionFailedError('The connection to the server failed', { cause: error });
  }
}
