"""What a client is made with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Union

import httpx

from .errors import AgentPlatformError
from .retry import retry_delay

VERSION = "0.1.0"
DEFAULT_TIMEOUT = 60.0
DEFAULT_RETRIES = 2

Timeout = Union[float, httpx.Timeout]
"""Seconds, or httpx's object. As in httpx it bounds each step: to connect, to send, each wait for bytes."""


@dataclass(frozen=True)
class Settings:
    """Options that have been read."""

    api_key: str = field(repr=False)
    base_url: str
    """Ends with `/v1`."""
    timeout: Timeout
    max_retries: int
    headers: Mapping[str, str] = field(repr=False)

    def pause(self, error: AgentPlatformError, tries: int) -> float:
        """The seconds to wait for the next attempt; raises the error where there is none."""
        wait = retry_delay(error, tries) if tries < self.max_retries else None
        if wait is None:
            raise error
        return wait


def read_settings(
    api_key: Optional[str],
    base_url: Optional[str],
    timeout: Timeout,
    max_retries: int,
    headers: Optional[Mapping[str, str]],
) -> Settings:
    """Fails with what is missing or wrong."""
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise AgentPlatformError("max_retries must be a whole number, 0 or more")
    return Settings(
        api_key=_read_key(api_key or os.environ.get("ORRERY_API_KEY")),
        base_url=_read_base_url(base_url or os.environ.get("ORRERY_BASE_URL")),
        timeout=read_timeout(timeout),
        max_retries=max_retries,
        headers={"user-agent": f"orrery-agent-platform-python/{VERSION}", **_read_headers(headers or {})},
    )


def read_timeout(timeout: Timeout) -> Timeout:
    """The timeout, if it is one."""
    if isinstance(timeout, httpx.Timeout) or (isinstance(timeout, (int, float)) and timeout > 0):
        return timeout
    raise AgentPlatformError("timeout must be a number of seconds above 0, or an httpx.Timeout")


def _read_key(key: Optional[str]) -> str:
    if not key:
        raise AgentPlatformError("There is no API key: give api_key, or set ORRERY_API_KEY")
    if not re.fullmatch("[\x21-\x7e]+", key):
        raise AgentPlatformError("api_key has characters that no API key has")
    return key


def _read_base_url(text: Optional[str]) -> str:
    if not text:
        raise AgentPlatformError("There is no base URL: give base_url, or set ORRERY_BASE_URL")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as error:
        raise AgentPlatformError(f"base_url is not a URL: {text}") from error
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise AgentPlatformError("base_url must be http or https, without user, query and fragment")
    base = str(url).rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def _read_headers(given: Mapping[str, str]) -> dict[str, str]:
    headers = {name.lower(): value for name, value in given.items()}
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) or not re.fullmatch("[\t\x20-\x7e]*", value):
            raise AgentPlatformError("headers cannot be sent as they are")
    return headers
