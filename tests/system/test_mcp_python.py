"""The official MCP client for Python, unchanged. Runs once for each of its current major versions."""

import asyncio
import contextlib
import importlib.metadata

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

NEWER = not importlib.metadata.version("mcp").startswith("1.")
MODES = ["legacy", "auto", "2026-07-28"] if NEWER else ["legacy"]


@contextlib.asynccontextmanager
async def connected(server, mode, agent="echo", headers=None):
    """A client that has found the server, with what the server calls itself."""
    headers = headers or server.bearer(agent)
    if NEWER:
        import httpx2
        from mcp.client import Client

        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(server.mcp, http_client=http), mode=mode) as client,
        ):
            yield client, client.server_info, client.protocol_version
    else:
        import httpx

        async with (
            httpx.AsyncClient(headers=headers) as http,
            streamable_http_client(server.mcp, http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            found = await session.initialize()
            yield session, found.serverInfo, found.protocolVersion


def plain(result):
    """A result as it stands on the wire."""
    return result.model_dump(by_alias=True, exclude_none=True, mode="json")


def chat(message, **arguments):
    return "kopern_chat", {"message": message, **arguments}


@pytest.mark.parametrize("mode", MODES)
def test_the_tools_are_found_and_called(orrery, mode):
    async def talk():
        async with connected(orrery, mode) as (client, server, version):
            assert version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
            if mode != "2026-07-28":
                assert (server.name, server.version) == ("kopern-mcp", "1.0.0")
            tools = plain(await client.list_tools())["tools"]
            assert [tool["name"] for tool in tools] == ["kopern_chat", "kopern_agent_info"]
            assert tools[0]["inputSchema"]["required"] == ["message"] and tools[1]["annotations"]["readOnlyHint"]
            first = plain(await client.call_tool(*chat("Hello ☀")))
            assert first["content"][0]["text"] == first["structuredContent"]["response"] == "You said: Hello ☀"
            again = plain(await client.call_tool(*chat("/history", session_id=first["structuredContent"]["session_id"])))
            assert "Hello ☀" in again["content"][0]["text"]
            info = plain(await client.call_tool("kopern_agent_info", {}))
            assert info["structuredContent"]["model"] == {"provider": "demo", "id": "echo"}
            failed = plain(await client.call_tool(*chat("/fail")))
            assert failed["isError"] and failed["content"][0]["text"]

    asyncio.run(talk())


@pytest.mark.parametrize("mode", MODES)
def test_progress_is_told_to_who_asks_for_it(orrery, mode):
    told = []

    async def note(progress, total, message):
        told.append((progress, total, message))

    async def talk():
        async with connected(orrery, mode) as (client, _, _):
            arguments = chat('/tool add {"a": 2, "b": 3}')
            result = plain(await client.call_tool(*arguments, progress_callback=note))
            assert "5" in result["content"][0]["text"]

    asyncio.run(talk())
    assert told == [(1, None, "Calling add"), (2, None, "add is done")]


@pytest.mark.parametrize("mode", MODES)
def test_what_there_is_not_is_refused_and_the_client_goes_on(orrery, mode):
    async def talk():
        async with connected(orrery, mode) as (client, _, _):
            for refused in (client.list_prompts, client.list_resources, lambda: client.call_tool("rm", {})):
                with pytest.raises(Exception, match="Method not found|Unknown tool"):
                    await refused()
            assert len(plain(await client.list_tools())["tools"]) == 2

    asyncio.run(talk())


@pytest.mark.parametrize("mode", MODES)
def test_a_key_that_does_not_work_opens_nothing(orrery, mode):
    async def talk():
        async with connected(orrery, mode, headers={"Authorization": "Bearer kpn_wrong"}) as (client, _, _):
            await client.list_tools()

    with pytest.raises(BaseException) as raised:
        asyncio.run(asyncio.wait_for(talk(), 20))
    assert not isinstance(raised.value, TimeoutError)


def test_many_clients_at_once_get_their_own_answers(orrery):
    async def one(number):
        async with connected(orrery, MODES[number % len(MODES)]) as (client, _, _):
            return plain(await client.call_tool(*chat(f"I am {number}")))["content"][0]["text"]

    async def all_of_them():
        return await asyncio.gather(*(one(number) for number in range(12)))

    assert asyncio.run(all_of_them()) == [f"You said: I am {number}" for number in range(12)]
