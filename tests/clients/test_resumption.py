"""A connection breaks and the stream goes on in another (XEP-0198), told by each client library in the same words."""

import asyncio

import pytest

from harness import add_user, stonechat
from network import Network
from people import Aioxmpp, Slixmpp, XmppJs, XmppJsWeb

ROMEO, JULIET, PARIS = "romeo@localhost", "juliet@localhost", "paris@localhost"
COUNT = 20


@pytest.mark.parametrize("library", [Slixmpp, Aioxmpp, XmppJs, XmppJsWeb])
def test_a_stream_goes_on_in_another_connection(library, tmp_path):
    for jid in [ROMEO, JULIET, PARIS]:
        add_user(tmp_path, jid, "secret")

    async def play():
        async with stonechat(tmp_path, "https.listen=['127.0.0.1:0']") as server:
            async with Network(server.ports[library.DOOR]) as network, Slixmpp(JULIET, "secret", server.ports) as juliet:
                async with library(ROMEO, "secret", {library.DOOR: network.port}, stays=True) as romeo:
                    await romeo.available()
                    await juliet.available()
                    await see(juliet, romeo)
                    # What is kept is acknowledged when it is on the disk: some of it unasked, after the answer to what was asked.
                    for number in range(COUNT):
                        await romeo.say(PARIS, f"letter {number}")
                    await romeo.contacts()
                    for number in range(3):
                        await cut(romeo, juliet, network, number)
                assert len(juliet.senders) == 1, "it was one session all the time"
                await juliet.until(lambda: (ROMEO, "unavailable") in juliet.seen)
            async with Slixmpp(PARIS, "secret", server.ports) as paris:
                await paris.available()
                await paris.until(lambda: len(paris.messages) >= COUNT)
                assert paris.messages == [("live", ROMEO, f"letter {number}") for number in range(COUNT)]
            await server.stop()

    asyncio.run(play())


async def see(juliet, romeo):
    """She sees when he comes and goes."""
    await juliet.presence(ROMEO, "subscribe")
    await romeo.until(lambda: (JULIET, "subscribe") in romeo.seen)
    await romeo.presence(JULIET, "subscribed")
    await juliet.until(lambda: (ROMEO, "available") in juliet.seen)


async def cut(romeo, juliet, network, time):
    said = [f"time {time}, {number}" for number in range(COUNT)]
    romeo.messages.clear()
    juliet.messages.clear()
    network.cut()
    for body in said:
        await juliet.say(ROMEO, body)
        await romeo.say(JULIET, body)
    # She is answered once what she said is with the server.
    await juliet.contacts()
    await network.mend(broken=True)
    await romeo.until(lambda: len(romeo.messages) >= COUNT)
    await juliet.until(lambda: len(juliet.messages) >= COUNT)
    # More comes behind whatever would have come twice.
    await juliet.say(ROMEO, "last")
    await romeo.until(lambda: ("live", JULIET, "last") in romeo.messages)
    await romeo.say(JULIET, "last")
    await juliet.until(lambda: ("live", ROMEO, "last") in juliet.messages)
    assert romeo.messages == [("live", JULIET, body) for body in [*said, "last"]]
    told = [("live", ROMEO, body) for body in [*said, "last"]]
    heard = juliet.messages if romeo.RESENDS_IN_ORDER else sorted(juliet.messages, key=told.index)
    assert heard == told
    assert (ROMEO, "unavailable") not in juliet.seen
