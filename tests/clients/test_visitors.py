"""Threat B08: visitors of `bosh-cm` are to the server behind it who they are, and meet the limits that they meet without it."""

import asyncio
import re

from harness import BINARIES, PATIENCE, Process

SESSIONS, LIMIT, AT_ONCE = 1_000, 20, 50
HEADER = (b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          b"xmlns:stream='http://etherx.jabber.org/streams'>")


def test_b08_a_thousand_sessions_of_one_visitor_meet_the_server_s_own_limit():
    asyncio.run(play())


async def play():
    server = Process(
        BINARIES / "stonechat", "run", "--ephemeral", "--user=romeo@localhost:montague", "--set=c2s.require_tls=false",
        "--set=limits.trusted=[]", "--set=c2s.proxies=['127.0.0.1']", "--set=limits.auth_timeout=600",
        f"--set=limits.connections_per_address={LIMIT}", f"--set=limits.connections_per_minute={2 * SESSIONS}",
    )
    async with server:
        c2s = server.ports["c2s"]
        # The manager's own limits are not what is tried here.
        manager = Process(
            BINARIES / "bosh-cm", f"--set=upstream.server=127.0.0.1:{c2s}", "--set=upstream.tls=none",
            "--set=upstream.proxy_protocol=true", "--set=http.listen=['127.0.0.1:0']", "--set=limits.inactivity=600",
            f"--set=limits.sessions_per_address={SESSIONS}", f"--set=limits.sessions_per_minute={SESSIONS}",
        )
        async with manager:
            http, places = manager.ports["http"], asyncio.Semaphore(AT_ONCE)

            async def through(visitor):
                async with places:
                    return await begins(http, visitor)

            begun = await asyncio.gather(*(through("203.0.113.7") for _ in range(SESSIONS)))
            assert sum(begun) == LIMIT, f"{sum(begun)} sessions of one visitor"
            assert await through("203.0.113.8"), "another visitor is not concerned"
            assert not await through("203.0.113.7"), "and the first one still is"

            async def direct():
                async with places:
                    return await streams(c2s, "127.0.0.5")

            open_streams = await asyncio.gather(*(direct() for _ in range(SESSIONS)))
            good = [stream for stream in open_streams if stream]
            assert len(good) == LIMIT, f"{len(good)} streams of one address without the manager"
            for writer in good:
                writer.close()
            await manager.stop()
        await server.stop()


async def begins(port, visitor):
    """Whether a session of this visitor gets features; if not, the server must have hung up on the manager."""
    attributes = "to='localhost' ver='1.11' wait='10' hold='1' xmpp:version='1.0'"
    for rid in range(1, 10):
        body = (f"<body rid='{rid}' {attributes} xmlns='http://jabber.org/protocol/httpbind' "
                f"xmlns:xmpp='urn:xmpp:xbosh'/>").encode()
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\n"
                         b"X-Forwarded-Proto: https\r\nContent-Length: %d\r\n\r\n%s" % (visitor.encode(), len(body), body))
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            answer = (await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))).decode()
            writer.close()
        if "features" in answer:
            return True
        if "terminate" in answer:
            assert "condition='remote-connection-failed'" in answer, answer
            return False
        if match := re.search(r" sid='([^']+)'", answer):
            attributes = f"sid='{match[1]}'"
    raise AssertionError(f"neither begun nor ended: {answer}")


async def streams(port, address):
    """A stream from this address without the manager, or None if the server does not want it."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            writer.write(HEADER)
            await reader.readuntil(b"</stream:features>")
            return writer
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
