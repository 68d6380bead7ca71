"""BOSH and WebSocket over one connection of HTTP/2, by `h2`, which is nobody's that serves here, and by Chromium."""

import asyncio
import base64
import contextlib
import json
import ssl
import urllib.request
import xml.etree.ElementTree as tree

import h2.config
import h2.connection
import h2.events
import pytest
from websockets.frames import Frame, Opcode

from browsers import chromium
from harness import PATIENCE, add_user, stonechat

BODY, XBOSH = "http://jabber.org/protocol/httpbind", "urn:xmpp:xbosh"
FRAMING, CLIENT = "urn:ietf:params:xml:ns:xmpp-framing", "jabber:client"
SASL, BIND = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-bind"
AUTH = f"<auth xmlns='{SASL}' mechanism='PLAIN'>{{}}</auth>"
BIND_SET = f"<iq xmlns='{CLIENT}' type='set' id='bind'><bind xmlns='{BIND}'><resource>{{}}</resource></bind></iq>"
LINKS = {
    "urn:xmpp:alt-connections:xbosh": "https://chat.example/http-bind",
    "urn:xmpp:alt-connections:websocket": "wss://chat.example/xmpp-websocket",
}
OF_A_CONNECTION = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accounts")
    add_user(folder, "romeo@localhost", "montague")
    add_user(folder, "juliet@localhost", "capulet")
    return folder


def play(data, story):
    async def on_stage():
        sets = ["https.listen=['127.0.0.1:0']", "http.public_bosh=https://chat.example/http-bind",
                "http.public_websocket=wss://chat.example/xmpp-websocket"]
        async with stonechat(data, *sets) as server, asyncio.timeout(2 * PATIENCE):
            await story(server)
            await server.stop()

    asyncio.run(on_stage())


def anybody():
    """The test's certificate is self-signed: encrypted, but nobody vouches for it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Connection:
    """One connection, on which several things are asked at a time."""

    def __init__(self, server):
        self.port = server.ports["https"]
        self.streams = {}
        self.settled, self.widened = asyncio.Event(), asyncio.Event()

    async def __aenter__(self):
        tls = anybody()
        tls.set_alpn_protocols(["h2", "http/1.1"])
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        assert self.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self._flush()
        self.reading = asyncio.create_task(self._read())
        await self.settled.wait()
        return self

    async def __aexit__(self, *_):
        self.reading.cancel()
        self.http.close_connection()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self._flush()
            self.writer.close()
            await self.writer.wait_closed()

    def _flush(self):
        self.writer.write(self.http.data_to_send())

    async def _read(self):
        while data := await self.reader.read(65_536):
            for event in self.http.receive_data(data):
                match event:
                    case h2.events.RemoteSettingsChanged():
                        self.settled.set()
                    case h2.events.WindowUpdated():
                        self.widened.set()
                    case h2.events.ResponseReceived():
                        self.streams[event.stream_id].put_nowait(dict(event.headers))
                    case h2.events.DataReceived():
                        self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        self.streams[event.stream_id].put_nowait(event.data)
                    case h2.events.StreamEnded():
                        self.streams[event.stream_id].put_nowait(None)
                    case h2.events.StreamReset():
                        self.streams[event.stream_id].put_nowait(None)
            self._flush()

    def send(self, method, path, *headers, body=None, ends=True):
        """Asks; gives the stream."""
        stream = self.http.get_next_available_stream_id()
        self.streams[stream] = asyncio.Queue()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.http.send_headers(stream, [*pseudo, *headers], end_stream=ends and body is None)
        if body is not None:
            self.http.send_data(stream, body.encode(), end_stream=ends)
        self._flush()
        return stream

    async def write(self, stream, data):
        """Sends as much at a time as the server has room for."""
        while data:
            room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if room == 0:
                self.widened.clear()
                await self.widened.wait()
                continue
            self.http.send_data(stream, data[:room])
            self._flush()
            data = data[room:]

    async def answer(self, stream):
        """The headers and the text of a whole answer."""
        headers = await self.streams[stream].get()
        assert headers is not None, "the stream was reset"
        parts = []
        while (part := await self.streams[stream].get()) is not None:
            parts.append(part)
        text = b"".join(parts)
        assert int(headers["content-length"]) == len(text) and not OF_A_CONNECTION & headers.keys()
        return headers, text.decode()

    async def ask(self, *words, **more):
        return await self.answer(self.send(*words, **more))


class Bosh:
    """A BOSH session."""

    def __init__(self, connection, jid, password):
        self.connection, self.rid, self.sid = connection, 4_711, None
        self.jid, self.password = jid, password

    def send(self, payload="", attributes=""):
        self.rid += 1
        sid = f" sid='{self.sid}'" if self.sid else ""
        body = f"<body xmlns='{BODY}' xmlns:xmpp='{XBOSH}' rid='{self.rid}'{sid} {attributes}>{payload}</body>"
        return self.connection.send("POST", "/http-bind", body=body)

    async def body(self, stream):
        headers, text = await self.connection.answer(stream)
        assert headers[":status"] == "200" and headers["content-type"] == "text/xml; charset=utf-8"
        body = tree.fromstring(text)
        assert body.tag == f"{{{BODY}}}body" and body.get("type") is None, text
        return body

    async def until(self, tag, payload="", attributes=""):
        """Says something, and asks until this is among the answers."""
        body = await self.body(self.send(payload, attributes))
        while (found := body.find(tag)) is None:
            body = await self.body(self.send())
        return found

    async def __aenter__(self):
        created = await self.body(self.send("", "to='localhost' ver='1.6' wait='60' hold='1' xmpp:version='1.0'"))
        self.sid = created.get("sid")
        local = self.jid.split("@")[0]
        plain = base64.b64encode(f"\0{local}\0{self.password}".encode()).decode()
        await self.until(f"{{{SASL}}}success", AUTH.format(plain))
        await self.until(f".//{{{BIND}}}bind", attributes="to='localhost' xmpp:restart='true'")
        bound = await self.until(f".//{{{BIND}}}jid", BIND_SET.format("bosh"))
        assert bound.text == f"{self.jid}/bosh"
        return self

    async def __aexit__(self, kind, *_):
        if kind is None:
            headers, text = await self.connection.answer(self.send(attributes="type='terminate'"))
            assert tree.fromstring(text).get("type") == "terminate", text


class Socket:
    """A WebSocket on a stream of its own (RFC 8441)."""

    def __init__(self, connection, jid, password):
        self.connection, self.jid, self.password, self.input = connection, jid, password, asyncio.StreamReader()

    async def frame(self, opcode, data):
        await self.connection.write(self.stream, Frame(opcode, data).serialize(mask=True))

    async def say(self, element):
        await self.frame(Opcode.TEXT, element.encode())

    async def _feed(self):
        while (part := await self.connection.streams[self.stream].get()) is not None:
            self.input.feed_data(part)
        self.input.feed_eof()

    async def next(self):
        first, length = await self.input.readexactly(2)
        assert first & 0x70 == 0 and length < 128, "no extension, and no mask on what a server says"
        if length > 125:
            length = int.from_bytes(await self.input.readexactly(2 if length == 126 else 8))
        return Opcode(first & 15), await self.input.readexactly(length)

    async def heard(self):
        opcode, data = await self.next()
        assert opcode is Opcode.TEXT
        return tree.fromstring(data.decode())

    async def opened(self):
        await self.say(f"<open xmlns='{FRAMING}' to='localhost' version='1.0'/>")
        assert (await self.heard()).tag == f"{{{FRAMING}}}open"
        return await self.heard()

    async def __aenter__(self):
        self.stream = self.connection.send(
            "CONNECT", "/xmpp-websocket", (":protocol", "websocket"), ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "xmpp"), ("origin", "https://chat.example"), ends=False,
        )
        headers = await self.connection.streams[self.stream].get()
        assert headers[":status"] == "200" and headers["sec-websocket-protocol"] == "xmpp"
        assert not {*OF_A_CONNECTION, "sec-websocket-accept", "content-length"} & headers.keys()
        self.feeding = asyncio.create_task(self._feed())
        await self.opened()
        local = self.jid.split("@")[0]
        await self.say(AUTH.format(base64.b64encode(f"\0{local}\0{self.password}".encode()).decode()))
        assert (await self.heard()).tag == f"{{{SASL}}}success"
        assert (await self.opened()).find(f"{{{BIND}}}bind") is not None
        await self.say(BIND_SET.format("socket"))
        assert (await self.heard()).findtext(f".//{{{BIND}}}jid") == f"{self.jid}/socket"
        return self

    async def __aexit__(self, kind, *_):
        if kind is None:
            await self.say(f"<close xmlns='{FRAMING}'/>")
            assert (await self.heard()).tag == f"{{{FRAMING}}}close"
            assert await self.next() == (Opcode.CLOSE, (1000).to_bytes(2))
            await self.frame(Opcode.CLOSE, (1000).to_bytes(2))
            await self.feeding


def message(to, text):
    return f"<message xmlns='{CLIENT}' to='{to}' type='chat'><body>{text}</body></message>"


def test_bosh_and_websocket_side_by_side(data):
    async def story(server):
        async with Connection(server) as connection:
            assert connection.http.remote_settings.enable_connect_protocol == 1
            async with (
                Bosh(connection, "romeo@localhost", "montague") as romeo,
                Socket(connection, "juliet@localhost", "capulet") as juliet,
            ):
                # Nothing that is asked beside it makes a held request come back.
                held = romeo.send()
                for n in range(20):
                    status = (await connection.ask("GET", "/.well-known/host-meta"))[0][":status"]
                    assert status == "200" and connection.streams[held].empty()
                    romeo_says = message("juliet@localhost/socket", f"speak again {n}")
                    await juliet.say(message("romeo@localhost/bosh", f"ay me {n}"))
                    heard = (await romeo.body(held)).findtext(f".//{{{CLIENT}}}body")
                    assert heard == f"ay me {n}"
                    held = romeo.send(romeo_says)
                    assert (await juliet.heard()).findtext(f"{{{CLIENT}}}body") == f"speak again {n}"
                long = "o " * 50_000
                await juliet.say(message("romeo@localhost/bosh", long))
                assert (await romeo.body(held)).findtext(f".//{{{CLIENT}}}body") == long

    play(data, story)


def test_what_is_no_websocket_is_refused_and_the_connection_lives(data):
    async def story(server):
        async with Connection(server) as connection:
            good = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "xmpp")]
            for method, protocol, headers, status in [
                ("CONNECT", "websocket", [good[0]], "400"),
                ("CONNECT", "websocket", [good[0], ("sec-websocket-protocol", "chat")], "400"),
                ("CONNECT", "websocket", [("sec-websocket-version", "8"), good[1]], "400"),
                ("CONNECT", "connect-ip", good, "501"),
                ("GET", None, good, "405"),
            ]:
                protocol = [(":protocol", protocol)] if protocol else []
                answer, _ = await connection.ask(method, "/xmpp-websocket", *protocol, *headers)
                assert answer[":status"] == status
            async with Socket(connection, "juliet@localhost", "capulet"):
                pass

    play(data, story)


def test_chromium_has_one_connection_for_both(data, tmp_path):
    """It asks for a WebSocket over HTTP/2 where the server says that it may (RFC 8441 3); its log shows how."""
    log = tmp_path / "net.json"
    both = """async (port) => {
        const socket = new WebSocket(`wss://127.0.0.1:${port}/xmpp-websocket`, 'xmpp');
        const heard = new Promise((told, failed) => {
            socket.onmessage = ({ data }) => told(data);
            socket.onerror = () => failed('the WebSocket failed');
        });
        await new Promise((opened) => { socket.onopen = opened; heard.catch(opened); });
        socket.send("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>");
        const body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' ver='1.6'/>";
        const answer = await fetch('/http-bind', { method: 'POST', body });
        const [timing] = performance.getEntriesByType('navigation');
        return [await heard, await answer.text(), timing.nextHopProtocol];
    }"""

    async def story(server):
        port = server.ports["https"]
        async with chromium(f"--log-net-log={log}") as browser:
            # The page is one that may ask for nothing by itself.
            page = await browser.new_page(ignore_https_errors=True, bypass_csp=True)
            await page.goto(f"https://127.0.0.1:{port}/.well-known/host-meta.json")
            heard, answer, protocol = await page.evaluate(both, port)
            assert heard.startswith("<open ") and " sid='" in answer and protocol == "h2"
        told = log.read_text()
        assert ":method: CONNECT" in told and ":protocol: websocket" in told

    play(data, story)


def test_host_meta_tells_where_both_are_by_http_and_https(data):
    """XEP-0156 3"""

    def of(path, scheme, port):
        with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}{path}", context=anybody()) as answer:
            return answer.headers, answer.read()

    def links_of(path, headers, text):
        assert headers["access-control-allow-origin"] == "*"
        if path.endswith("json"):
            assert headers["content-type"] == "application/json"
            return {link["rel"]: link["href"] for link in json.loads(text)["links"]}
        assert headers["content-type"] == "application/xrd+xml; charset=utf-8"
        links = tree.fromstring(text).iter("{http://docs.oasis-open.org/ns/xri/xrd-1.0}Link")
        return {link.get("rel"): link.get("href") for link in links}

    async def story(server):
        async with Connection(server) as connection:
            for path in ["/.well-known/host-meta", "/.well-known/host-meta.json"]:
                assert links_of(path, *await connection.ask("GET", path)) == LINKS
                for scheme in ["http", "https"]:
                    answer = await asyncio.to_thread(of, path, scheme, server.ports[scheme])
                    assert links_of(path, *answer) == LINKS

    play(data, story)
