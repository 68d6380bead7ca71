"""The way between a client and the server: a TCP proxy that can be cut."""

import asyncio
import contextlib
import socket
import struct


class Network:
    """Listens on `port` of 127.0.0.1 and passes everything on to the port it is made for, until it is cut.

    While it is cut nothing passes and nobody is told. `mend(broken=False)` is what happens after a cable was out: TCP
    sends again what was on its way. `mend(broken=True)` is what happens where a router has forgotten its connections
    or the client's address is a new one: those that were open, and all that was on its way in them, are gone.
    """

    def __init__(self, to):
        self.to, self.up, self.pairs, self.clients = to, asyncio.Event(), set(), set()
        self.up.set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self._break()

    def cut(self):
        self.up.clear()

    async def mend(self, *, broken):
        if broken:
            await self._break()
        self.up.set()

    def slip(self, data):
        """Slips this into all that goes to clients. Nothing else may be on its way."""
        for client in self.clients:
            client.write(data)

    async def _break(self):
        pairs = list(self.pairs)
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    async def _connected(self, reader, writer):
        self.pairs.add(asyncio.current_task())
        writers = [writer]
        self.clients.add(writer)
        try:
            await self.up.wait()
            onward, back = await asyncio.open_connection("127.0.0.1", self.to)
            writers.append(back)
            await asyncio.gather(self._pass(reader, back), self._pass(onward, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one end is gone, or both are to be: either way the other goes too
        finally:
            for one in writers:
                with contextlib.suppress(OSError):
                    # A reset, not an end: what is on its way is gone.
                    one.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.transport.abort()
            self.clients.discard(writer)
            self.pairs.discard(asyncio.current_task())

    async def _pass(self, reader, writer):
        while data := await reader.read(65536):
            await self.up.wait()
            writer.write(data)
            await writer.drain()
        await self.up.wait()
        writer.write_eof()
