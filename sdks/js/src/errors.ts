// What can go wrong, as classes. All are AgentPlatformErrors.

/** What a reply said about the caller's rate limit. */
export interface RateLimit {
  limit: number | undefined;
  remaining: number | undefined;
  /** When the limit is full again, in seconds since the Unix epoch. */
  reset: number | undefined;
}

/** What an error carries beside its message. */
export interface ErrorFields {
  status?: number | undefined;
  code?: string | undefined;
  details?: Record<string, unknown> | undefined;
  requestId?: string | undefined;
  retryAfter?: number | undefined;
  rateLimit?: RateLimit | undefined;
  cause?: unknown;
}

/** The base of all errors of this package. */
export class AgentPlatformError extends Error {
  override readonly name: string = 'AgentPlatformError';
  /** The HTTP status, where there was a reply. */
  readonly status: number | undefined;
  /**
   * The server's word for what is wrong: `invalid_request`, `authentication_error`, `not_found`, `rate_limited`,
   * `internal_error`.
   */
  readonly code: string | undefined;
  readonly details: Record<string, unknown> | undefined;
  /** What the server's log calls the request. */
  readonly requestId: string | undefined;
  /** How many seconds to wait before the next attempt, where the server said so. */
  readonly retryAfter: number | undefined;
  readonly rateLimit: RateLimit | undefined;

  constructor(message: string, fields: ErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.status = fields.status;
    this.code = fields.code;
    this.details = fields.details;
    this.requestId = fields.requestId;
    this.retryAfter = fields.retryAfter;
    this.rateLimit = fields.rateLimit;
  }
}

/** The request is wrong, and stays so when it is sent again. Without a `status` it was not sent at all. */
export class InvalidRequestError extends AgentPlatformError {
  override readonly name = 'InvalidRequestError';
}

/** The API key is not known, not valid any more, or not allowed to do this. */
export class AuthenticationError extends AgentPlatformError {
  override readonly name = 'AuthenticationError';
}

/** There is no such app or session, or the API key is of another app. */
export class NotFoundError extends AgentPlatformError {
  override readonly name = 'NotFoundError';
}

/** Too many requests; `retryAfter` says when to come back, `rateLimit` what the limit is. */
export class RateLimitedError extends AgentPlatformError {
  override readonly name = 'RateLimitedError';
}

/** The server failed. */
export class InternalServerError extends AgentPlatformError {
  override readonly name = 'InternalServerError';
}

/** The server could not be reached, or the connection broke before the reply was whole. */
export class ConnectionFailedError extends AgentPlatformError {
  override readonly name = 'ConnectionFailedError';
}

/** The reply, or the stream's next event, did not come in time. */
export class RequestTimeoutError extends AgentPlatformError {
  override readonly name = 'RequestTimeoutError';
}

/** A stream that had begun ended without its answer: by an `error` event, whose `code` this has, or broken off. */
export class StreamError extends AgentPlatformError {
  override readonly name = 'StreamError';
}

/** A webhook is not what the server signed with this secret, or too old. */
export class WebhookVerificationError extends AgentPlatformError {
  override readonly name = 'WebhookVerificationError';
}

/** The error that a reply other than 2xx means, whatever its body is. */
export function errorOfReply(status: number, headers: Headers, body: string): AgentPlatformError {
  const fields: ErrorFields = { status, ...errorFields(parse(body)), ...headerFields(headers) };
  const message = messageOf(parse(body)) ?? `The server answered with status ${status}`;
  return new (classOf(status))(message, fields);
}

/** The error that an `error` event means. */
export function errorOfEvent(data: unknown): StreamError {
  return new StreamError(messageOf(data) ?? 'The server ended the stream with an error', errorFields(data));
}

/** What the headers of a reply say for its error. */
export function headerFields(headers: Headers): ErrorFields {
  const rateLimit: RateLimit = {
    limit: wholeNumber(headers.get('x-ratelimit-limit')),
    remaining: wholeNumber(headers.get('x-ratelimit-remaining')),
    reset: wholeNumber(headers.get('x-ratelimit-reset')),
  };
  return {
    requestId: headers.get('x-request-id') ?? undefined,
    retryAfter: retryAfter(headers.get('retry-after')),
    rateLimit: Object.values(rateLimit).some((value) => value !== undefined) ? rateLimit : undefined,
  };
}

function classOf(status: number): typeof AgentPlatformError {
  if (status === 401 || status === 403) return AuthenticationError;
  if (status === 404) return NotFoundError;
  if (status === 429) return RateLimitedError;
  if (status >= 400 && status < 500) return InvalidRequestError;
  if (status >= 500) return InternalServerError;
  return AgentPlatformError;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether it is an object with fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function innerError(body: unknown): Record<string, unknown> {
  return isRecord(body) && isRecord(body['error']) ? body['error'] : {};
}

function errorFields(body: unknown): ErrorFields {
  const { code, details } = innerError(body);
  return {
    code: typeof code === 'string' ? code : undefined,
    details: isRecord(details) ? details : undefined,
  };
}

function messageOf(body: unknown): string | undefined {
  const { message } = innerError(body);
  return typeof message === 'string' && message ? message : undefined;
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** `Retry-After` in seconds: a number of them, or a date. */
function retryAfter(text: string | null): number | undefined {
  const seconds = wholeNumber(text);
  if (seconds !== undefined || text === null) return seconds;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - Date.now()) / 1000));
}
