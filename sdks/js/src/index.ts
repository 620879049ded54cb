// Client for the apps of Orrery.

export { AgentPlatform } from './client.js';
export {
  AgentPlatformError, AuthenticationError, ConnectionFailedError, InternalServerError, InvalidRequestError,
  NotFoundError, RateLimitedError, RequestTimeoutError, StreamError, WebhookVerificationError,
} from './errors.js';
export type { RateLimit } from './errors.js';
export { VERSION } from './options.js';
export type { ClientOptions } from './options.js';
export { ExecuteStream } from './stream.js';
export type {
  CallOptions, CreateSessionParams, DoneEvent, EndedSession, EndSessionParams, ExecuteParams, ExecuteResponse,
  GetHistoryParams, History, Message, Metadata, Session, StartEvent, StreamEvent, TokenEvent, ToolCallEvent, Usage,
} from './types.js';
export { verifyWebhook } from './webhook.js';
export type { VerifyWebhookOptions, WebhookEvent, WebhookHeaders } from './webhook.js';
