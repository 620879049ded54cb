"""Signatures of webhooks, compared with the document's lines and with the library of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError as OracleError

from orrery_platform import WebhookVerificationError, verify_webhook

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
EVENT: dict[str, Any] = {
    "event": "conversation.escalated",
    "timestamp": "2024-01-15T14:30:00Z",
    "data": {"session_id": "sess_abc123", "reason": "user_requested", "context": {"summary": "Grüße 👋🏽"}},
}
BODY = json.dumps(EVENT, ensure_ascii=False)


def standard(secret: str, body: str = BODY, minutes: float = 0) -> dict[str, str]:
    """The headers of Standard Webhooks, by its library."""
    at = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    signature = Webhook(secret).sign("evt_1", at, body)
    return {"webhook-id": "evt_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def documented(secret: str, body: str = BODY) -> dict[str, str]:
    """The document's header."""
    return {"x-kore-signature": hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()}


def refused(payload: Any, headers: Any, secret: Any, **options: Any) -> str:
    with pytest.raises(WebhookVerificationError) as caught:
        verify_webhook(payload, headers, secret, **options)
    return caught.value.message


@pytest.mark.parametrize("secret", ["whsec_xxxxx", "plain words", SECRET])
def test_the_documents_signature_is_accepted(secret: str) -> None:
    event = verify_webhook(BODY, documented(secret), secret)
    assert (event.event, event.timestamp, event.data) == (EVENT["event"], EVENT["timestamp"], EVENT["data"])
    assert event.raw == EVENT


def test_the_vector_of_standard_webhooks_holds() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    # Signed right, but no event.
    assert "no event" in refused('{"test": 2432232314}', headers, secret, tolerance_seconds=float("inf"))
    assert "signature" in refused('{"test": 2432232315}', headers, secret, tolerance_seconds=float("inf"))


def test_what_standard_webhooks_library_signs_is_accepted_and_the_other_way_round() -> None:
    headers = standard(SECRET)
    assert verify_webhook(BODY, headers, SECRET).raw == EVENT
    assert Webhook(SECRET).verify(BODY, headers) == EVENT
    for wrong in ({**headers, "webhook-id": "evt_2"}, standard(OTHER), standard(SECRET, body=f"{BODY} ")):
        refused(BODY, wrong, SECRET)
        with pytest.raises(OracleError):
            Webhook(SECRET).verify(BODY, wrong)


def test_headers_and_bodies_are_taken_as_frameworks_have_them() -> None:
    headers = {**standard(SECRET), **documented(SECRET)}
    upper = {name.upper(): value for name, value in headers.items()}
    lists = {name: [value] for name, value in headers.items()}
    for given in (headers, upper, lists, httpx.Headers(headers)):
        assert verify_webhook(BODY, given, SECRET).raw == EVENT
    raw = BODY.encode()
    for body in (BODY, raw, bytearray(raw), memoryview(raw)):
        assert verify_webhook(body, headers, SECRET).raw == EVENT


def test_while_a_secret_is_changed_each_of_several_signatures_is_enough() -> None:
    first, second = standard(SECRET), standard(OTHER)
    both = {**first, "webhook-signature": f"{first['webhook-signature']} v2,x v1,?? {second['webhook-signature']}"}
    assert verify_webhook(BODY, both, SECRET).raw == EVENT
    assert verify_webhook(BODY, both, OTHER).raw == EVENT


@pytest.mark.parametrize("minutes", [-6, 6])
def test_the_signed_time_is_at_most_five_minutes_from_now_or_as_far_as_is_said(minutes: int) -> None:
    headers = standard(SECRET, minutes=minutes)
    refused(BODY, headers, SECRET)
    assert verify_webhook(BODY, headers, SECRET, tolerance_seconds=600).raw == EVENT
    refused(BODY, headers, SECRET, tolerance_seconds=float("nan"))
    refused(BODY, {**headers, **documented(SECRET)}, SECRET)
    assert verify_webhook(BODY, standard(SECRET, minutes=minutes * 2 / 3), SECRET).raw == EVENT
    refused(BODY, {**standard(SECRET), "webhook-timestamp": "now"}, SECRET)


def test_the_documents_header_counts_where_standard_webhooks_cannot() -> None:
    # Not of Standard Webhooks: without the prefix, cut, and base64 that is not what an encoder writes.
    for secret in ("plain words", SECRET[6:], SECRET[:-1], "whsec_", "whsec_QR=="):
        assert verify_webhook(BODY, {**standard(OTHER), **documented(secret)}, secret).raw == EVENT
    refused(BODY, {**standard(OTHER), **documented(SECRET)}, SECRET)
    partial = {name: value for name, value in standard(SECRET).items() if name != "webhook-id"}
    refused(BODY, partial, SECRET)


def test_nothing_unsigned_is_accepted() -> None:
    refused(BODY, {}, SECRET)
    refused(BODY, documented(""), "")
    refused(BODY, documented("None"), None)
    for signature in ("", " ", "zz", "ab", "ü", documented(OTHER)["x-kore-signature"]):
        refused(BODY, {"x-kore-signature": signature}, SECRET)
        refused(BODY, {**standard(SECRET), "webhook-signature": signature or "v1,"}, SECRET)
    refused(BODY, {**standard(SECRET), "webhook-signature": "v1,ü"}, SECRET)
    refused(f"{BODY} ", documented(SECRET), SECRET)
    refused(EVENT, documented(SECRET), SECRET)
    for body in ("", "null", "{}", "[]", '{"event":"x","timestamp":"y"}'):
        refused(body, documented(SECRET, body), SECRET)
