"""RFC 7395 by hand, over the library `websockets`: what the libraries for XMPP do not show."""

import asyncio
import base64
import contextlib
import xml.etree.ElementTree as tree

import pytest
import websockets

from harness import PATIENCE, add_user, stonechat

FRAMING, STREAMS = "urn:ietf:params:xml:ns:xmpp-framing", "http://etherx.jabber.org/streams"
SASL, BIND, CLIENT = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-bind", "jabber:client"
CONDITIONS = "urn:ietf:params:xml:ns:xmpp-streams"
OPEN = f"<open xmlns='{FRAMING}' to='localhost' version='1.0'/>"
CLOSE = f"<close xmlns='{FRAMING}'/>"
PING = "<iq xmlns='jabber:client' type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accounts")
    add_user(folder, "romeo@localhost", "montague")
    return folder


def play(data, story):
    async def on_stage():
        async with stonechat(data) as server, asyncio.timeout(PATIENCE):
            await story(server)

    asyncio.run(on_stage())


def connect(server, subprotocols=("xmpp",), **words):
    url = f"ws://127.0.0.1:{server.ports['http']}/xmpp-websocket"
    return websockets.connect(url, subprotocols=subprotocols, proxy=None, **words)


async def heard(socket):
    message = await socket.recv()
    assert isinstance(message, str) and message.startswith("<")
    return tree.fromstring(message)


async def opened(socket):
    """Opens the stream; gives its features."""
    await socket.send(OPEN)
    header = await heard(socket)
    assert header.tag == f"{{{FRAMING}}}open"
    assert header.get("from") == "localhost" and header.get("version") == "1.0" and header.get("id")
    features = await heard(socket)
    assert features.tag == f"{{{STREAMS}}}features"
    return features


@contextlib.asynccontextmanager
async def session(server, **words):
    """A bound session."""
    async with connect(server, **words) as socket:
        assert socket.subprotocol == "xmpp"
        features = await opened(socket)
        assert "PLAIN" in [mechanism.text for mechanism in features.iter(f"{{{SASL}}}mechanism")]
        plain = base64.b64encode(b"\0romeo\0montague").decode()
        await socket.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>")
        assert (await heard(socket)).tag == f"{{{SASL}}}success"
        assert (await opened(socket)).find(f"{{{BIND}}}bind") is not None
        await socket.send(f"<iq xmlns='{CLIENT}' type='set' id='bind'><bind xmlns='{BIND}'/></iq>")
        bound = await heard(socket)
        assert bound.findtext(f"{{{BIND}}}bind/{{{BIND}}}jid").startswith("romeo@localhost/")
        yield socket


async def answered(socket, ping):
    answer = await heard(socket)
    assert (answer.tag, answer.get("id"), answer.get("type")) == (f"{{{CLIENT}}}iq", ping, "result")


def test_without_the_subprotocol_there_is_no_handshake(data):
    async def story(server):
        for subprotocols in [None, ["chat"], ["xmppp", "xmp"]]:
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with connect(server, subprotocols):
                    pass
            assert refused.value.response.status_code == 400
        async with connect(server, ["chat", "xmpp"]) as socket:
            assert socket.subprotocol == "xmpp"

    play(data, story)


def test_nothing_is_compressed(data):
    async def story(server):
        async with session(server, compression="deflate") as socket:
            assert socket.response.headers.get("Sec-WebSocket-Extensions") is None

    play(data, story)


def test_a_message_may_come_in_fragments_with_pings_between(data):
    async def story(server):
        async with session(server) as socket:

            async def fragments(text):
                for at in range(0, len(text), 3):
                    yield text[at:at + 3]
                    await (await socket.ping())

            await socket.send(fragments(PING.format("slow ❤")))
            await answered(socket, "slow ❤")

    play(data, story)


def test_a_stream_that_is_closed_ends_the_connection(data):
    async def story(server):
        async with session(server) as socket:
            await socket.send(PING.format("last"))
            await socket.send(CLOSE)
            await answered(socket, "last")
            assert (await heard(socket)).tag == f"{{{FRAMING}}}close"
            await socket.wait_closed()
            assert socket.close_code == 1000

    play(data, story)


def test_a_connection_that_is_closed_is_let_go(data):
    async def story(server):
        async with session(server) as socket:
            await socket.close(1001)
            assert (socket.protocol.close_sent.code, socket.protocol.close_rcvd.code) == (1001, 1001)

    play(data, story)


@pytest.mark.parametrize(("message", "text", "condition", "code"), [
    pytest.param(PING.format("binary").encode(), False, None, 1003, id="binary"),
    pytest.param(b"<message>\xff</message>", True, None, 1007, id="not UTF-8"),
    pytest.param(" " + PING.format("space"), None, "bad-format", 1000, id="space ahead"),
    pytest.param(PING.format(1) + PING.format(2), None, "not-well-formed", 1000, id="two in one"),
    pytest.param("<message xmlns='jabber:client'>", None, "not-well-formed", 1000, id="half of one"),
    pytest.param("<!-- --><message xmlns='jabber:client'/>", None, "restricted-xml", 1000, id="a comment"),
    pytest.param(OPEN, None, "bad-format", 1000, id="open again"),
    pytest.param(f"<message xmlns='{CLIENT}'><body>{300_000 * 'x'}</body></message>", None, "policy-violation", 1009,
                 id="too large"),
])
def test_bad_messages_end_the_stream_and_say_why(data, message, text, condition, code):
    async def story(server):
        async with session(server) as socket:
            await socket.send(message, text=text)
            if condition:
                error = await heard(socket)
                assert error.tag == f"{{{STREAMS}}}error"
                assert error.find(f"{{{CONDITIONS}}}{condition}") is not None, tree.tostring(error)
                assert (await heard(socket)).tag == f"{{{FRAMING}}}close"
            await socket.wait_closed()
            assert socket.close_code == code
        # It was this stream's end, and nobody else's.
        async with session(server) as socket:
            await socket.send(PING.format("on"))
            await answered(socket, "on")

    play(data, story)


@pytest.mark.parametrize(("message", "condition"), [
    pytest.param(PING.format("early"), "bad-format", id="a stanza"),
    pytest.param(f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}' to='localhost' version='1.0'/>",
                 "invalid-namespace", id="a header as over TCP"),
    pytest.param(f"<open xmlns='{FRAMING}' to='elsewhere.example' version='1.0'/>", "host-unknown", id="elsewhere"),
    pytest.param(f"<open xmlns='{FRAMING}' to='localhost' version='0.9'/>", "unsupported-version", id="an old version"),
])
def test_whoever_does_not_open_the_stream_well_is_told_so_in_one(data, message, condition):
    async def story(server):
        async with connect(server) as socket:
            await socket.send(message)
            assert (await heard(socket)).tag == f"{{{FRAMING}}}open"
            error = await heard(socket)
            assert error.find(f"{{{CONDITIONS}}}{condition}") is not None, tree.tostring(error)
            assert (await heard(socket)).tag == f"{{{FRAMING}}}close"
            await socket.wait_closed()
            assert socket.close_code == 1000

    play(data, story)


def test_a_server_that_stops_says_so(data):
    async def story(server):
        async with session(server) as socket:
            stopped = asyncio.create_task(server.stop())
            error = await heard(socket)
            assert error.find(f"{{{CONDITIONS}}}system-shutdown") is not None, tree.tostring(error)
            assert (await heard(socket)).tag == f"{{{FRAMING}}}close"
            await socket.wait_closed()
            assert socket.close_code == 1001
            await stopped

    play(data, story)
