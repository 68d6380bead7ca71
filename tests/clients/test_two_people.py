"""Two people chat: romeo on slixmpp over STARTTLS, juliet on strophe.js in Chromium over BOSH."""

import asyncio

from browsers import chromium, strophe_page
from harness import Desktop, add_user, stonechat

ROMEO, JULIET = "romeo@localhost", "juliet@localhost"
COUNT = 100


def bosh(server):
    return f"http://127.0.0.1:{server.ports['http']}/http-bind"


def test_two_people(tmp_path):
    add_user(tmp_path, ROMEO, "montague")
    add_user(tmp_path, JULIET, "capulet")
    asyncio.run(play(tmp_path))


async def play(data):
    async with chromium() as browser, strophe_page(browser) as juliet:
        async with stonechat(data) as server:
            async with Desktop(ROMEO, "montague", server.ports["c2s"]) as romeo:
                juliet.url = bosh(server)
                assert await juliet.login(JULIET, "wrong") is None
                await juliet.page.reload()
                assert (await juliet.login(JULIET, "capulet")).startswith(JULIET + "/")
                await subscribe_to_each_other(romeo, juliet)
                await presence_comes_and_goes(romeo, juliet)
                await a_hundred_messages_each_way(romeo, juliet)
            await juliet.until("jid => got.presence.some(p => p.from.startsWith(jid) && p.type === 'unavailable')", ROMEO)
            # romeo is gone: what is said now waits for him.
            await juliet.call("(to, body) => say(to, body)", ROMEO, "parting is such sweet sorrow")
            await juliet.call("async () => { await roster(); leave(); }")
            await juliet.until("() => got.errors.includes('disconnected')")
            await server.stop()
        async with stonechat(data) as server, Desktop(ROMEO, "montague", server.ports["c2s"]) as romeo:
            assert romeo.client_roster[JULIET]["subscription"] == "both"
            romeo.send_presence()
            await romeo.until(lambda: (JULIET, "parting is such sweet sorrow") in romeo.messages)
            await juliet.page.reload()
            juliet.url = bosh(server)
            assert await juliet.login(JULIET, "capulet")
            assert await juliet.call("() => roster()") == {ROMEO: "both"}
            await juliet.call("() => presence()")
            await romeo.until(lambda: (JULIET, "available") in romeo.seen)
            # Each message is delivered once: it is not kept any more.
            assert romeo.messages.count((JULIET, "parting is such sweet sorrow")) == 1
            await server.stop()


async def subscribe_to_each_other(romeo, juliet):
    romeo.send_presence()
    await juliet.call("() => presence()")
    romeo.send_presence_subscription(pto=JULIET, ptype="subscribe")
    await juliet.until("jid => got.presence.some(p => p.from === jid && p.type === 'subscribe')", ROMEO)
    await juliet.call("to => { presence(to, 'subscribed'); presence(to, 'subscribe'); }", ROMEO)
    await romeo.until(lambda: {(JULIET, "subscribed"), (JULIET, "subscribe")} <= set(romeo.seen))
    romeo.send_presence_subscription(pto=JULIET, ptype="subscribed")
    await juliet.until("jid => got.presence.some(p => p.from === jid && p.type === 'subscribed')", ROMEO)
    await romeo.until(lambda: (JULIET, "available") in romeo.seen)
    await juliet.until("jid => got.presence.some(p => p.from.startsWith(jid + '/') && p.type === 'available')", ROMEO)
    assert await juliet.call("() => roster()") == {ROMEO: "both"}


async def presence_comes_and_goes(romeo, juliet):
    romeo.seen.clear()
    await juliet.call("() => presence(null, 'unavailable')")
    await romeo.until(lambda: (JULIET, "unavailable") in romeo.seen)
    await juliet.call("() => presence()")
    await romeo.until(lambda: (JULIET, "available") in romeo.seen)


async def a_hundred_messages_each_way(romeo, juliet):
    await juliet.call("(to, prefix, count) => sayMany(to, prefix, count)", ROMEO, "from juliet ", COUNT)
    for number in range(COUNT):
        romeo.send_message(mto=JULIET, mbody=f"from romeo {number}", mtype="chat")
    await romeo.until(lambda: len(romeo.messages) >= COUNT)
    await juliet.until("count => got.messages.length >= count", COUNT)
    assert romeo.messages == [(JULIET, f"from juliet {n}") for n in range(COUNT)]
    assert await juliet.call("() => got.messages.map(m => m.body)") == [f"from romeo {n}" for n in range(COUNT)]
