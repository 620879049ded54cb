"""Every test of a client runs with both of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any, Callable, Optional

import pytest

from orrery_platform import AgentPlatform, AgentPlatformError, AsyncAgentPlatform, StreamEvent


class SyncDriver:
    """Calls `AgentPlatform`."""

    name = "sync"

    def call(self, url: str, method: str, params: dict[str, Any], **options: Any) -> Any:
        with AgentPlatform(**{"api_key": "sk-app-test", "base_url": url, **options}) as client:
            return getattr(client, method)(**params)

    def stream(
        self, url: str, params: dict[str, Any], **options: Any
    ) -> tuple[list[StreamEvent], Optional[AgentPlatformError]]:
        """The events, and the error that they ended with."""
        events: list[StreamEvent] = []
        with AgentPlatform(**{"api_key": "sk-app-test", "base_url": url, **options}) as client:
            try:
                for event in client.execute_stream(**params):
                    events.append(event)
            except AgentPlatformError as error:
                return events, error
        return events, None

    def final_text(self, url: str, params: dict[str, Any]) -> str:
        with AgentPlatform(api_key="sk-app-test", base_url=url) as client:
            return client.execute_stream(**params).final_text()


class AsyncDriver:
    """Calls `AsyncAgentPlatform`."""

    name = "async"

    def _run(self, url: str, options: dict[str, Any], use: Callable[[AsyncAgentPlatform], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with AsyncAgentPlatform(**{"api_key": "sk-app-test", "base_url": url, **options}) as client:
                return await use(client)

        return asyncio.run(main())

    def call(self, url: str, method: str, params: dict[str, Any], **options: Any) -> Any:
        async def use(client: AsyncAgentPlatform) -> Any:
            return await getattr(client, method)(**params)

        return self._run(url, options, use)

    def stream(
        self, url: str, params: dict[str, Any], **options: Any
    ) -> tuple[list[StreamEvent], Optional[AgentPlatformError]]:
        events: list[StreamEvent] = []

        async def use(client: AsyncAgentPlatform) -> Optional[AgentPlatformError]:
            try:
                async for event in client.execute_stream(**params):
                    events.append(event)
            except AgentPlatformError as error:
                return error
            return None

        error = self._run(url, options, use)
        return events, error

    def final_text(self, url: str, params: dict[str, Any]) -> str:
        async def use(client: AsyncAgentPlatform) -> str:
            return await client.execute_stream(**params).final_text()

        text: str = self._run(url, {}, use)
        return text


Driver = Any
LIVE = ("ORRERY_URL", "ORRERY_APP_ID", "ORRERY_APP_KEY")


@pytest.fixture(params=[SyncDriver(), AsyncDriver()], ids=lambda driver: str(driver.name))
def driver(request: pytest.FixtureRequest) -> Driver:
    return request.param


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests give what they need themselves."""
    for name in ("ORRERY_API_KEY", "ORRERY_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def pytest_report_header() -> str:
    missing = [name for name in LIVE if not os.environ.get(name)]
    return f"live tests are skipped: {', '.join(missing)} not set" if missing else "live tests run"
