"""Profanity, a desktop client from Debian, in a terminal: logs in, adds a contact, chats, changes presence."""

import asyncio

from harness import Desktop, Terminal, add_user, stonechat

ROMEO, JULIET = "romeo@localhost", "juliet@localhost"
ACCOUNT = """[romeo]
enabled=true
jid={jid}
server=127.0.0.1
port={port}
resource=desktop
tls.policy=trust
"""


def test_profanity(tmp_path):
    add_user(tmp_path / "server", ROMEO, "montague")
    add_user(tmp_path / "server", JULIET, "capulet")
    asyncio.run(play(tmp_path))


async def play(folder):
    async with stonechat(folder / "server") as server, Desktop(JULIET, "capulet", server.ports["c2s"]) as juliet:
        juliet.send_presence()
        accounts = folder / "data" / "profanity" / "accounts"
        accounts.parent.mkdir(parents=True)
        accounts.write_text(ACCOUNT.format(jid=ROMEO, port=server.ports["c2s"]))
        async with Terminal(folder, "profanity", "--account", "romeo") as romeo:
            await logs_in(romeo)
            await adds_a_contact(romeo, juliet)
            await chats(romeo, juliet)
            await changes_presence(romeo, juliet)
            romeo.enter("/quit")
            await juliet.until(lambda: juliet.seen[-1] == (ROMEO, "unavailable"))
        await server.stop()


async def logs_in(romeo):
    await romeo.until("Enter password:")
    romeo.enter("capulet")
    await romeo.until("Login failed.")
    romeo.enter("/connect romeo")
    await romeo.until("Enter password:")
    romeo.enter("montague")
    await romeo.until("logged in successfully")


async def adds_a_contact(romeo, juliet):
    romeo.enter(f"/roster add {JULIET} Juliet")
    await romeo.until("Roster item added")
    romeo.enter(f"/sub request {JULIET}")
    await juliet.until(lambda: (ROMEO, "subscribe") in juliet.seen)
    juliet.send_presence_subscription(pto=ROMEO, ptype="subscribed")
    await romeo.until("Subscription received from")
    juliet.send_presence_subscription(pto=ROMEO, ptype="subscribe")
    await romeo.until("Received authorization request")
    romeo.enter(f"/sub allow {JULIET}")
    await juliet.until(lambda: {(ROMEO, "subscribed"), (ROMEO, "available")} <= set(juliet.seen))


async def chats(romeo, juliet):
    romeo.enter(f"/msg {JULIET} Wherefore art thou?")
    await juliet.until(lambda: (ROMEO, "Wherefore art thou?") in juliet.messages)
    juliet.send_message(mto=ROMEO, mbody="Deny thy father & refuse thy name", mtype="chat")
    await romeo.until("Deny thy father & refuse thy name")


async def changes_presence(romeo, juliet):
    for status, show in [('away "in the orchard"', "away"), ("dnd", "dnd"), ("online", "available")]:
        romeo.enter(f"/status set {status}")
        await juliet.until(lambda show=show: juliet.seen[-1] == (ROMEO, show))
    juliet.send_presence(pshow="xa")
    await romeo.until("Juliet [xa]")
