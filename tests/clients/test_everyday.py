"""What everybody does every day, told by each client library in the same words."""

import asyncio
import contextlib
import shutil

import pytest

from harness import PATIENCE, add_user, stonechat
from people import Aioxmpp, Refused, Slixmpp, XmppJs, XmppJsWeb

ROMEO, JULIET, PARIS = "romeo@localhost", "juliet@localhost", "paris@localhost"
PASSWORDS = {ROMEO: "montague", JULIET: "capulet", PARIS: "verona"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store with three accounts; each story has a copy of it."""
    folder = tmp_path_factory.mktemp("accounts")
    for jid, password in PASSWORDS.items():
        add_user(folder, jid, password)
    return folder


@pytest.fixture(params=[Slixmpp, Aioxmpp, XmppJs, XmppJsWeb])
def stage(request, data, tmp_path):
    return Stage(request.param, data, tmp_path)


class Stage:
    """A server of its own, on which romeo uses the library that the story is told with (`romeos`) and all others slixmpp."""

    def __init__(self, romeos, accounts, folder):
        self.romeos, self.folder = romeos, folder / "data"
        shutil.copytree(accounts, self.folder)

    def play(self, story, *sets):
        async def play():
            async with stonechat(self.folder, "https.listen=['127.0.0.1:0']", *sets) as self.server:
                await story(self)
                await self.server.stop()

        asyncio.run(play())

    def on(self, library, jid, password=None, register=False):
        return library(jid, password or PASSWORDS[jid], self.server.ports, register)

    def romeo(self, password=None):
        return self.on(self.romeos, ROMEO, password)

    def juliet(self):
        return self.on(Slixmpp, JULIET)


def test_the_roster_is_kept(stage):
    async def story(stage):
        async with stage.romeo() as romeo:
            await romeo.available()
            assert await romeo.contacts() == {}
            await romeo.set_item(JULIET, "Juliet")
            await romeo.set_item(PARIS, "That one")
            await romeo.remove_item(PARIS)
            with pytest.raises(Refused, match="item-not-found"):
                await romeo.remove_item("nobody@localhost")
        async with stage.romeo() as romeo:
            assert await romeo.contacts() == {JULIET: ("Juliet", "none")}

    stage.play(story)


def test_two_subscribe_to_each_other(stage):
    async def story(stage):
        async with stage.romeo() as romeo, stage.juliet() as juliet:
            await romeo.available()
            await juliet.available()
            await befriend(romeo, juliet)
            assert (await romeo.contacts())[JULIET][1] == "both"
            assert (await juliet.contacts())[ROMEO][1] == "both"

    stage.play(story)


def test_whoever_is_blocked_is_not_heard(stage):
    async def story(stage):
        async with stage.romeo() as romeo, stage.juliet() as juliet:
            await romeo.available()
            await juliet.available()
            await befriend(romeo, juliet)
            await romeo.block(JULIET)
            assert await romeo.blocked() == {JULIET}
            await juliet.until(lambda: (ROMEO, "unavailable") in juliet.seen)
            await juliet.say(ROMEO, "Are you there?")
            juliet.seen.clear()
            await romeo.unblock(JULIET)
            await juliet.until(lambda: (ROMEO, "available") in juliet.seen)
            await juliet.say(ROMEO, "There you are!")
            await romeo.until(lambda: ("live", JULIET, "There you are!") in romeo.messages)
            assert romeo.messages == [("live", JULIET, "There you are!")]
            assert await romeo.blocked() == set()

    stage.play(story)


def test_another_device_sees_both_sides_of_the_talk(stage):
    async def story(stage):
        async with stage.romeo() as romeo, stage.on(Slixmpp, ROMEO) as phone, stage.juliet() as juliet:
            for person in [romeo, phone, juliet]:
                await person.available()
            await romeo.enable_carbons()
            await phone.say(JULIET, "from the phone")
            await romeo.until(lambda: ("sent", ROMEO, "from the phone") in romeo.messages)
            await juliet.say(phone.boundjid.full, "to the phone")
            await romeo.until(lambda: ("received", JULIET, "to the phone") in romeo.messages)
            await phone.until(lambda: phone.messages == [("live", JULIET, "to the phone")])

    stage.play(story)


def test_private_notes_are_kept(stage):
    async def story(stage):
        async with stage.romeo() as romeo:
            assert await romeo.note() == ""
            await romeo.put_note("the orchard walls are high & hard to climb")
        async with stage.romeo() as romeo:
            assert await romeo.note() == "the orchard walls are high & hard to climb"

    stage.play(story)


def test_vcards_are_for_all_to_read(stage):
    async def story(stage):
        async with stage.romeo() as romeo, stage.juliet() as juliet:
            await romeo.put_vcard("Romeo Montague")
            await juliet.put_vcard("Juliet <Capulet>")
            assert await juliet.vcard(ROMEO) == "Romeo Montague"
            assert await romeo.vcard(JULIET) == "Juliet <Capulet>"

    stage.play(story)


def test_messages_wait_for_who_is_not_there(stage):
    async def story(stage):
        async with stage.juliet() as juliet:
            await juliet.available()
            for number in range(20):
                await juliet.say(ROMEO, f"letter {number}")
            # Whatever she asks now is answered after what she said.
            await juliet.contacts()
        async with stage.romeo() as romeo:
            await romeo.available()
            await romeo.until(lambda: len(romeo.messages) == 20)
            assert romeo.messages == [("live", JULIET, f"letter {number}") for number in range(20)]

    stage.play(story)


def test_an_account_is_made_changed_and_given_up(stage):
    benvolio, friend = "benvolio@localhost", "peace"

    async def story(stage):
        async with stage.on(stage.romeos, benvolio, friend, register=True) as person:
            await person.available()
            await person.change_password("kindness")
            with contextlib.suppress(Exception):
                # The stream ends with the account: whether a library takes that for a failure is its own affair.
                await asyncio.wait_for(person.cancel(), PATIENCE)
        # The name is free again, and nothing of the old account is left.
        async with stage.on(Slixmpp, benvolio, friend, register=True) as person:
            assert await person.contacts() == {}

    stage.play(story, "registration.enabled=true")


async def befriend(romeo, juliet):
    await romeo.presence(JULIET, "subscribe")
    await juliet.until(lambda: (ROMEO, "subscribe") in juliet.seen)
    await juliet.presence(ROMEO, "subscribed")
    await juliet.presence(ROMEO, "subscribe")
    await romeo.until(lambda: (JULIET, "subscribe") in romeo.seen)
    await romeo.presence(JULIET, "subscribed")
    await juliet.until(lambda: {(ROMEO, "subscribed"), (ROMEO, "available")} <= set(juliet.seen))
