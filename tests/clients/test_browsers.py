"""Libraries of the web in Chromium, each over BOSH and over WebSocket, talk with romeo on slixmpp over STARTTLS."""

import asyncio
import contextlib
import shutil

import pytest

from browsers import Converse, Stanza, Strophe, chromium, page_server
from harness import PATIENCE, Desktop, add_user, stonechat
from network import Network

ROMEO, JULIET = "romeo@localhost", "juliet@localhost"
LIBRARIES, WAYS = [Strophe, Stanza, Converse], ["bosh", "websocket"]
# One account for each library and way.
PAGES = {f"{library.__name__.lower()}-{way}@localhost": (library, way) for library in LIBRARIES for way in WAYS}
COUNT = 50
CUT, SHORT_CUT = 20.0, 2.0


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    """A store with all accounts; each test has a copy of it."""
    folder = tmp_path_factory.mktemp("accounts")
    for jid in [ROMEO, JULIET, *PAGES]:
        add_user(folder, jid, "secret")
    return folder


@pytest.fixture
def data(accounts, tmp_path):
    return shutil.copytree(accounts, tmp_path / "data")


def url(way, port, secure=""):
    """`secure` is empty or "s"."""
    return f"http{secure}://127.0.0.1:{port}/http-bind" if way == "bosh" else f"ws{secure}://127.0.0.1:{port}/xmpp-websocket"


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", WAYS)
def test_a_page_is_used_and_reloaded(library, way, data):
    async def play():
        with page_server() as pages:
            async with stonechat(data) as server, chromium() as browser:
                async with library(browser, pages, url(way, server.ports["http"])) as juliet:
                    await use_and_reload(server, juliet)
                    assert juliet.protocols == {"http/1.1"}
                await server.stop()

    asyncio.run(play())


@pytest.mark.parametrize("way", WAYS)
def test_the_same_over_https_is_http_2(way, data):
    async def play():
        with page_server() as pages:
            async with stonechat(data, "https.listen=['127.0.0.1:0']") as server, chromium() as browser:
                port = server.ports["https"]
                async with Strophe(browser, pages, url(way, port, "s")) as juliet:
                    # A WebSocket goes over a connection of HTTP/2 that is there already (RFC 8441).
                    await juliet.call("url => fetch(url, { mode: 'no-cors', credentials: 'include' }).then(() => {})", url("bosh", port, "s"))
                    await use_and_reload(server, juliet)
                    assert juliet.protocols == {"h2"}
                await server.stop()

    asyncio.run(play())


async def use_and_reload(server, juliet):
    async with Desktop(ROMEO, "secret", server.ports["c2s"]) as romeo:
        romeo.send_presence()
        await login(juliet)
        await meet(romeo, juliet, JULIET)
        await fifty_messages_each_way(romeo, juliet)
        await reload(romeo, juliet)
        romeo.seen.clear()
        await juliet.logout()
        await romeo.until(lambda: (JULIET, "unavailable") in romeo.seen)


async def login(juliet):
    assert await juliet.login(JULIET, "wrong") is None
    juliet.full = await juliet.login(JULIET, "secret")
    assert juliet.full.startswith(JULIET + "/")
    mechanisms = [sent for sent in juliet.wire if "mechanism=" in sent]
    assert mechanisms and all("SCRAM-SHA-" in sent for sent in mechanisms)
    await juliet.available()


async def meet(romeo, page, jid):
    """The page adds romeo to its roster and sees that he is there, and he sees it."""
    await page.add(ROMEO)
    await romeo.until(lambda: (jid, "subscribe") in romeo.seen)
    romeo.send_presence_subscription(pto=jid, ptype="subscribed")
    await page.until_here(ROMEO)
    romeo.send_presence_subscription(pto=jid, ptype="subscribe")
    await page.accept(ROMEO)
    await romeo.until(lambda: (jid, "available") in romeo.seen)
    await page.talk_to(ROMEO)


async def fifty_messages_each_way(romeo, juliet):
    said = [f"from juliet {number}" for number in range(COUNT)]
    tell(romeo, JULIET, "from romeo", COUNT)
    await juliet.say(*said)
    await romeo.until(lambda: len(romeo.messages) >= COUNT)
    assert romeo.messages == [(JULIET, body) for body in said]
    heard = await juliet.until_heard(COUNT)
    assert heard == [f"from romeo {number}" for number in range(COUNT)]
    # With the conversation open: of a burst into one that is not, converse.js 14 may show a part only.
    await juliet.until_shown(heard)


def tell(romeo, jid, words, count):
    for number in range(count):
        romeo.send_message(mto=jid, mbody=f"{words} {number}", mtype="chat")


async def reload(romeo, juliet):
    kept = not juliet.over_websocket or juliet.streams_are_managed
    await juliet.leave()
    if not kept:
        # What is written to a connection that breaks is lost (RFC 6120 has no remedy): romeo waits until it is known.
        await romeo.until(lambda: (JULIET, "unavailable") in romeo.seen)
    tell(romeo, JULIET, "meanwhile", COUNT)
    await juliet.back()
    if not kept:
        await juliet.available()
    heard = await juliet.until_heard(2 * COUNT)
    assert heard == [f"{words} {number}" for words in ["from romeo", "meanwhile"] for number in range(COUNT)]
    # It speaks and hears as before.
    romeo.messages.clear()
    await juliet.say("parting is such sweet sorrow")
    await romeo.until(lambda: romeo.messages == [(JULIET, "parting is such sweet sorrow")])
    tell(romeo, JULIET, "good night", 1)
    assert (await juliet.until_heard(2 * COUNT + 1))[-1] == "good night 0"
    if kept:
        # One session all the time, whatever the page takes itself for.
        assert juliet.has_resumed == juliet.streams_are_managed
        assert romeo.senders == {juliet.full}
        assert (JULIET, "unavailable") not in romeo.seen


def test_twenty_seconds_without_a_network(data):
    """All of them at once: what both sides say meanwhile arrives, once and in order."""

    async def play():
        async with contextlib.AsyncExitStack() as stack:
            address = stack.enter_context(page_server())
            server = await stack.enter_async_context(stonechat(data))
            romeo = await stack.enter_async_context(Desktop(ROMEO, "secret", server.ports["c2s"]))
            browser = await stack.enter_async_context(chromium())
            romeo.send_presence()
            stories = []
            for jid, (library, way) in PAGES.items():
                network = await stack.enter_async_context(Network(server.ports["http"]))
                page = await stack.enter_async_context(library(browser, address, url(way, network.port)))
                stories.append(cut_off(romeo, page, jid, network))
            await asyncio.gather(*stories)
            await server.stop()

    asyncio.run(play())


async def cut_off(romeo, page, jid, network):
    assert await page.login(jid, "secret")
    await page.available()
    await meet(romeo, page, jid)
    tell(romeo, jid, "before", 5)
    await page.until_heard(5)
    if page.streams_are_managed:
        # XEP-0198 4: an acknowledgement may come unasked, and say nothing new.
        ack = f"<a xmlns='urn:xmpp:sm:3' h='{page.acknowledged()}'/>".encode()
        network.slip(2 * (b"\x81" + bytes([len(ack)]) + ack))

    network.cut()
    tell(romeo, jid, "early", COUNT)
    if page.over_websocket:
        await speak(page)
    await asyncio.sleep(CUT / 2)  # not to wait for something: the cut is to last
    tell(romeo, jid, "late", COUNT)
    await asyncio.sleep(CUT / 2)
    # Without stream management a WebSocket survives what TCP survives.
    await network.mend(broken=not page.over_websocket or page.streams_are_managed)
    tell(romeo, jid, "after", 1)
    told = [("before", 5), ("early", COUNT), ("late", COUNT), ("after", 1)]
    told = [f"{words} {number}" for words, count in told for number in range(count)]
    assert (jid, await page.until_heard(len(told))) == (jid, told)
    assert page.has_resumed == page.streams_are_managed

    if not page.over_websocket:
        # Whoever speaks meanwhile has two requests to repeat.
        network.cut()
        tell(romeo, jid, "again", 5)
        await speak(page)
        await asyncio.sleep(SHORT_CUT)
        await network.mend(broken=True)
        told += [f"again {number}" for number in range(5)]
        heard = await page.until_heard(len(told))
        # None of these libraries puts the answers in the order of its requests, as it has to (XEP-0124 14.2).
        assert (jid, sorted(heard, key=told.index)) == (jid, told)

    await page.say("page 5")
    await romeo.until(lambda: (jid, "page 5") in romeo.messages)
    assert [message for message in romeo.messages if message[0] == jid] == [(jid, f"page {number}") for number in range(6)]


async def speak(page):
    await page.say(*(f"page {number}" for number in range(5)))
