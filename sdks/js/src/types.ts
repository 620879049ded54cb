// What the API reads and writes. Bodies are passed on as they come: fields that a newer server adds are there too.

/** What is kept with a session, and can be used in an agent's prompt. */
export type Metadata = Record<string, unknown>;

/** A message to an app. */
export interface ExecuteParams {
  appId: string;
  message: string;
  /** The session to go on with; without it a new one begins, and the reply names it. */
  sessionId?: string | undefined;
  /** Merged into the session's metadata. */
  metadata?: Metadata | undefined;
  /** A call with the same key and content is answered once, however often it is sent; without it, one is made. */
  idempotencyKey?: string | undefined;
}

export interface CreateSessionParams {
  appId: string;
  userId?: string | undefined;
  metadata?: Metadata | undefined;
  /** As in {@link ExecuteParams}. */
  idempotencyKey?: string | undefined;
}

export interface GetHistoryParams {
  appId: string;
  sessionId: string;
  /** The most messages to get, 1 to 200. */
  limit?: number | undefined;
  /** The `next_cursor` of the page before, for the messages older than that page's. */
  before?: string | undefined;
}

export interface EndSessionParams {
  appId: string;
  sessionId: string;
}

/** What every method takes beside its parameters. */
export interface CallOptions {
  /**
   * Cancels the call, and its HTTP request with it (before Node 18.16 that may stay open); the call then
   * fails with the signal's reason.
   */
  signal?: AbortSignal | undefined;
  /** Instead of the client's `timeout`, in milliseconds. */
  timeout?: number | undefined;
}

/** The tokens of a turn, over all of its calls of the model. */
export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

export interface ExecuteResponse {
  response: string;
  session_id: string;
  trace_id: string;
  /** The name of the agent that answered. */
  agent: string;
  /** The tools that were used, each once, in the order of their first use. */
  tools_used: string[];
  usage: Usage;
}

export interface Session {
  session_id: string;
  /** ISO 8601, UTC, as all times. */
  created_at: string;
  expires_at: string;
}

export interface Message {
  role: 'user' | 'assistant';
  content: string;
  timestamp: string;
  /** The agent that said it, where the role is `assistant`. */
  agent?: string;
}

/** Messages from old to new. */
export interface History {
  session_id: string;
  messages: Message[];
  /** Where older messages are left: what to give as `before` for them. */
  next_cursor?: string;
}

export interface EndedSession {
  session_id: string;
  status: 'ended';
  ended_at: string;
}

/** The first event of a stream. */
export interface StartEvent {
  type: 'start';
  trace_id: string;
  session_id?: string;
}

/** The next piece of the answer. */
export interface TokenEvent {
  type: 'token';
  content: string;
}

export interface ToolCallEvent {
  type: 'tool_call';
  tool: string;
  status: 'started' | 'completed' | 'failed';
}

/** The last event of a stream: the answer is whole. */
export interface DoneEvent {
  type: 'done';
  usage: Usage;
  session_id?: string;
  trace_id?: string;
  agent?: string;
  tools_used?: string[];
}

/** What a stream tells, by its `type`. */
export type StreamEvent = StartEvent | TokenEvent | ToolCallEvent | DoneEvent;
