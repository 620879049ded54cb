// What can go wrong, and how a person is told.

import { fill, type Texts } from "./texts.ts";

export type FailureKind =
  | "offline" | "cut" | "limit" | "busy" | "origin" | "key" | "closed" | "plan" | "message" | "server";

export class Failure extends Error {
  readonly kind: FailureKind;
  /** Seconds until trying again can help. */
  readonly wait: number;

  constructor(kind: FailureKind, wait = 0) {
    super(kind);
    this.kind = kind;
    this.wait = wait;
  }
}

/** The longest countdown, in seconds. */
const LONGEST_WAIT = 3_600;
/** Where a reply says nothing of it. */
const USUAL_WAIT = 5;

/** What a refusal means; `code` is the word that its body has for programs. */
export function refusal(status: number, code: string, retryAfter: string | null): Failure {
  const seconds = Number.parseInt(retryAfter ?? "", 10);
  const wait = Math.min(Math.max(Number.isNaN(seconds) ? USUAL_WAIT : seconds, 1), LONGEST_WAIT);
  switch (status) {
    case 401:
    case 404:
      return new Failure("key");
    case 403:
      if (code === "origin_not_allowed") return new Failure("origin");
      if (code === "widget_disabled") return new Failure("closed");
      return new Failure(["endpoint_mismatch", "agent_mismatch"].includes(code) ? "key" : "plan");
    case 409:
      return new Failure("busy", wait);
    case 429:
      return new Failure("limit", wait);
    case 503:
      return new Failure("server", retryAfter ? wait : 0);
    default:
      return new Failure(status >= 400 && status < 500 ? "message" : "server");
  }
}

/** The words for a person, with so many seconds left to wait. */
export function words(failure: Failure, texts: Texts, left: number): string {
  switch (failure.kind) {
    case "offline": return texts.errorOffline;
    case "cut": return texts.errorCut;
    case "limit": return left > 0 ? fill(texts.errorLimit, { seconds: left }) : texts.errorReady;
    case "busy": return texts.errorBusy;
    case "origin": return texts.errorOrigin;
    case "key": return texts.errorKey;
    case "closed": return texts.errorClosed;
    case "plan": return texts.errorPlan;
    case "message": return texts.errorMessage;
    case "server": return texts.errorServer;
  }
}
