"""Webhooks: whether the server sent them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable
from typing import Any, Optional, Protocol, Union

from .errors import WebhookVerificationError
from .types import WebhookEvent, read_webhook_event

PREFIX = "whsec_"
DEFAULT_TOLERANCE = 300.0


class Headers(Protocol):
    """A request's headers as frameworks have them: names in any case, values as text or lists of texts."""

    def items(self) -> Iterable[tuple[str, Any]]:
        """All headers."""


def verify_webhook(
    payload: Union[str, bytes, bytearray, memoryview],
    headers: Headers,
    secret: str,
    *,
    tolerance_seconds: float = DEFAULT_TOLERANCE,
) -> WebhookEvent:
    """The event that a webhook tells of, once its signature has been checked; raises `WebhookVerificationError`.

    `webhook-signature` is checked, and with it the time, where the request has it and the secret is one of Standard
    Webhooks (`whsec_` and base64); `x-kore-signature` otherwise.

    `payload`: the body as it came, before anything parsed it. `secret`: the webhook's secret, as it was shown.
    `tolerance_seconds`: how far the signed time may be from now.
    """
    if not isinstance(secret, str) or not secret:
        raise WebhookVerificationError("There is no secret")
    body = _bytes_of(payload)
    event_id, sent, signatures = (_header(headers, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    key = _standard_key(secret)
    if event_id and sent and signatures and key:
        _check_time(sent, tolerance_seconds)
        expected = _hmac(key, f"{event_id}.{sent}.".encode() + body)
        given = [_base64(text[3:]) for text in signatures.split(" ") if text.startswith("v1,")]
    else:
        signature = _header(headers, "x-kore-signature")
        if not signature:
            raise WebhookVerificationError("The request has no signature")
        expected = _hmac(secret.encode(), body)
        given = [_hex(signature)]
    if not any(one is not None and hmac.compare_digest(one, expected) for one in given):
        raise WebhookVerificationError("The signature is wrong")
    try:
        return read_webhook_event(json.loads(body.decode()))
    except (ValueError, RecursionError) as error:
        raise WebhookVerificationError(f"The body is no event: {error}") from error


def _hmac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _check_time(text: str, tolerance: float) -> None:
    seconds = int(text) if re.fullmatch("[0-9]{1,15}", text) else float("nan")
    # Written so that a tolerance which is no number lets nothing pass.
    if not abs(time.time() - seconds) <= tolerance:
        raise WebhookVerificationError("The webhook is too old, or of the future")


def _header(headers: Headers, wanted: str) -> Optional[str]:
    for name, value in headers.items():
        if name.lower() == wanted:
            text = " ".join(value) if isinstance(value, (list, tuple)) else value
            return text if isinstance(text, str) else None
    return None


def _bytes_of(payload: object) -> bytes:
    if isinstance(payload, str):
        return payload.encode("utf-8", "surrogatepass")
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    raise WebhookVerificationError("The payload must be the raw body, not what was parsed from it")


def _standard_key(secret: str) -> Optional[bytes]:
    """The key that Standard Webhooks signs with, if the secret is one of its."""
    return _base64(secret[len(PREFIX) :]) if secret.startswith(PREFIX) else None


def _base64(text: str) -> Optional[bytes]:
    """The bytes of base64 in its one right form."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def _hex(text: str) -> Optional[bytes]:
    return bytes.fromhex(text) if re.fullmatch("(?:[0-9a-fA-F]{2})+", text) else None
