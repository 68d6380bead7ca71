"""One person on one of several client libraries, so that the same story is told with each of them.

A person logs in as an `async with`, does what a user can do by the library's own means, and keeps what it was told:
`messages` as (how, from, body) where `how` is "live", "sent" or "received" (the latter two are carbons), and `seen` as
(from, type of presence). Errors are `Refused`, with the stanza error's condition. `DOOR` is the listener that it goes
to; whoever `stays` connects again when a connection breaks, and resumes the stream if it can (XEP-0198).
"""

import asyncio
import contextlib
import functools
import json
import pathlib
import subprocess
import warnings

import slixmpp
from lxml import etree
from slixmpp.exceptions import IqError

from harness import PATIENCE, Desktop

with warnings.catch_warnings():
    # It is as old as it is widespread, and it says so at every import.
    warnings.simplefilter("ignore")
    import aioxmpp
    import aioxmpp.blocking
    import aioxmpp.carbons
    import aioxmpp.dispatcher
    import aioxmpp.ibr
    import aioxmpp.ping
    import aioxmpp.private_xml
    import aioxmpp.vcard

HERE = pathlib.Path(__file__).parent
NOTE = "urn:example:note"


class Refused(Exception):
    """A stanza error; its text is the condition."""


class Slixmpp(Desktop):
    """slixmpp (Python)."""

    DOOR = "c2s"
    RESENDS_IN_ORDER = True

    def __init__(self, jid, password, ports, register=False, stays=False):
        super().__init__(jid, password, ports["c2s"])
        if stays:
            self.register_plugin("xep_0198")
            self.add_event_handler("disconnected", self._connect_again)
        for plugin in ["xep_0049", "xep_0054", "xep_0077", "xep_0191", "xep_0280"]:
            self.register_plugin(plugin)
        self.plugin["xep_0077"].create_account = register
        self.plugin["xep_0049"].register(_Note)
        self.add_event_handler("register", self._register)
        for how in ["sent", "received"]:
            self.add_event_handler(f"carbon_{how}", functools.partial(self._carbon, how))

    def _connect_again(self, _):
        self.connect("127.0.0.1", self.port_to_use)

    async def __aexit__(self, *exception):
        self.del_event_handler("disconnected", self._connect_again)
        await super().__aexit__(*exception)

    async def _message(self, stanza):
        if stanza["body"]:
            self.senders.add(stanza["from"].full)
            await self._note(self.messages, ("live", stanza["from"].bare, stanza["body"]))

    async def _carbon(self, how, stanza):
        inner = stanza[f"carbon_{how}"]
        await self._note(self.messages, (how, inner["from"].bare, inner["body"]))

    async def _register(self, _form):
        iq = self.Iq()
        iq["type"] = "set"
        iq["register"]["username"], iq["register"]["password"] = self.boundjid.user, self.password
        await self._asked(iq.send())

    @staticmethod
    async def _asked(answer):
        try:
            return await asyncio.wait_for(answer, PATIENCE)
        except IqError as error:
            raise Refused(error.condition) from None

    async def available(self):
        self.send_presence()
        await self.until(lambda: (self.boundjid.bare, "available") in self.seen)

    async def contacts(self):
        await self.get_roster()
        items = self.client_roster
        return {jid: (items[jid]["name"], items[jid]["subscription"]) for jid in items if jid != self.boundjid.bare}

    async def set_item(self, jid, name):
        await self._asked(self.update_roster(jid, name=name, groups=["Friends"]))

    async def remove_item(self, jid):
        await self._asked(self.del_roster_item(jid))

    async def presence(self, to, kind):
        self.send_presence(pto=to, ptype=kind)

    async def say(self, to, body):
        self.send_message(mto=to, mbody=body, mtype="chat")

    async def block(self, jid):
        await self._asked(self.plugin["xep_0191"].block(jid))

    async def unblock(self, jid):
        await self._asked(self.plugin["xep_0191"].unblock(jid))

    async def blocked(self):
        return {jid.full for jid in await self._asked(self.plugin["xep_0191"].get_blocked_jids())}

    async def enable_carbons(self):
        await self._asked(self.plugin["xep_0280"].enable())

    async def put_note(self, text):
        note = _Note()
        note["text"] = text
        await self._asked(self.plugin["xep_0049"].store(note))

    async def note(self):
        answer = await self._asked(self.plugin["xep_0049"].retrieve("example_note"))
        return answer["private"]["example_note"]["text"]

    async def put_vcard(self, name):
        vcard = self.plugin["xep_0054"].make_vcard()
        vcard["FN"] = name
        await self._asked(self.plugin["xep_0054"].publish_vcard(vcard))

    async def vcard(self, jid):
        answer = await self._asked(self.plugin["xep_0054"].get_vcard(jid, cached=False))
        return answer["vcard_temp"]["FN"]

    async def change_password(self, password):
        await self._asked(self.plugin["xep_0077"].change_password(password, jid=self.boundjid.host))

    async def cancel(self):
        await self._asked(self.plugin["xep_0077"].cancel_registration(jid=self.boundjid.host))


class _Note(slixmpp.ElementBase):
    name, namespace, plugin_attrib, interfaces = "note", NOTE, "example_note", {"text"}

    def get_text(self):
        return self.xml.text or ""

    def set_text(self, text):
        self.xml.text = text


class Aioxmpp:
    """aioxmpp (Python)."""

    DOOR = "c2s"
    # What was not acknowledged it sends again with the last ahead.
    RESENDS_IN_ORDER = False

    def __init__(self, jid, password, ports, register=False, stays=True):  # it does in any case
        self.jid, self.password, self.registering = aioxmpp.JID.fromstr(jid), password, register
        self.peer = [("127.0.0.1", ports["c2s"], aioxmpp.connector.STARTTLSConnector())]
        security = aioxmpp.make_security_layer(password, no_verify=True)
        self.messages, self.seen = [], []
        self.changed = asyncio.Condition()
        self.tasks = set()
        self.client = aioxmpp.PresenceManagedClient(self.jid, security, override_peer=self.peer)
        self.roster = self.client.summon(aioxmpp.RosterClient)
        self.blocking = self.client.summon(aioxmpp.BlockingClient)
        self.carbons = self.client.summon(aioxmpp.CarbonsClient)
        self.private = self.client.summon(aioxmpp.private_xml.PrivateXMLService)
        self.vcards = self.client.summon(aioxmpp.vcard.VCardService)
        self.registration = self.client.summon(aioxmpp.ibr.RegistrationService)
        messages = self.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        messages.register_callback(None, None, self._message)
        presences = self.client.summon(aioxmpp.dispatcher.SimplePresenceDispatcher)
        for kind in aioxmpp.PresenceType:
            with contextlib.suppress(ValueError):
                # Some kinds are the library's own to hear.
                presences.register_callback(kind, None, self._presence)
        self.roster.on_subscribe.connect(self._presence)
        self.roster.on_subscribed.connect(self._presence)

    def _note(self, where, what):
        async def note():
            async with self.changed:
                where.append(what)
                self.changed.notify_all()

        task = asyncio.ensure_future(note())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _message(self, stanza):
        how = "live"
        for direction, carbon in [("sent", stanza.xep0280_sent), ("received", stanza.xep0280_received)]:
            if carbon is not None:
                how, stanza = direction, carbon.stanza
        if stanza.body:
            self._note(self.messages, (how, str(stanza.from_.bare()), stanza.body.any()))

    def _presence(self, stanza):
        self._note(self.seen, (str(stanza.from_.bare()), stanza.type_.value or "available"))

    async def until(self, predicate):
        try:
            async with asyncio.timeout(PATIENCE), self.changed:
                await self.changed.wait_for(predicate)
        except TimeoutError:
            raise AssertionError(f"in vain: it has {self.messages} and has seen {self.seen}") from None

    async def __aenter__(self):
        if self.registering:
            stranger = aioxmpp.make_security_layer(None, no_verify=True)
            _, stream, _ = await aioxmpp.node.connect_xmlstream(self.jid, stranger, override_peer=self.peer)
            query = aioxmpp.ibr.Query(self.jid.localpart, self.password)
            await self._asked(aioxmpp.ibr.register(stream, query))
            stream.close()
        self.connected = self.client.connected(presence=aioxmpp.PresenceState(False))
        await asyncio.wait_for(self.connected.__aenter__(), PATIENCE)
        return self

    async def __aexit__(self, *exception):
        await asyncio.wait_for(self.connected.__aexit__(*exception), PATIENCE)

    @staticmethod
    async def _asked(answer):
        try:
            return await asyncio.wait_for(answer, PATIENCE)
        except aioxmpp.errors.XMPPError as error:
            raise Refused(error.condition.value[1]) from None

    async def available(self):
        self.client.presence = aioxmpp.PresenceState(True)
        await self.until(lambda: (str(self.jid), "available") in self.seen)

    async def contacts(self):
        # What was pushed before this is answered is known by then.
        await self._asked(aioxmpp.ping.ping(self.client, self.jid.replace(localpart=None)))
        return {str(jid): (item.name, item.subscription) for jid, item in self.roster.items.items()}

    async def set_item(self, jid, name):
        jid = aioxmpp.JID.fromstr(jid)
        await self._asked(self.roster.set_entry(jid, name=name, add_to_groups={"Friends"}))

    async def remove_item(self, jid):
        await self._asked(self.roster.remove_entry(aioxmpp.JID.fromstr(jid)))

    async def presence(self, to, kind):
        stanza = aioxmpp.Presence(to=aioxmpp.JID.fromstr(to), type_=aioxmpp.PresenceType(kind))
        await self.client.send(stanza)

    async def say(self, to, body):
        stanza = aioxmpp.Message(to=aioxmpp.JID.fromstr(to), type_=aioxmpp.MessageType.CHAT)
        stanza.body[None] = body
        # `send` would wait until the server has acknowledged it.
        self.client.enqueue(stanza)

    async def block(self, jid):
        await self._asked(self.blocking.block_jids([aioxmpp.JID.fromstr(jid)]))

    async def unblock(self, jid):
        await self._asked(self.blocking.unblock_jids([aioxmpp.JID.fromstr(jid)]))

    async def blocked(self):
        return {str(jid) for jid in self.blocking.blocklist}

    async def enable_carbons(self):
        await self._asked(self.carbons.enable())

    async def put_note(self, text):
        note = _AioxmppNote()
        note.text = text
        await self._asked(self.private.set_private_xml(note))

    async def note(self):
        query = await self._asked(self.private.get_private_xml(_AioxmppNote()))
        return query.registered_payload.text or ""

    async def put_vcard(self, name):
        vcard = aioxmpp.vcard.xso.VCard()
        full_name = etree.Element("{vcard-temp}FN")
        full_name.text = name
        vcard.elements.append(full_name)
        await self._asked(self.vcards.set_vcard(vcard))

    async def vcard(self, jid):
        vcard = await self._asked(self.vcards.get_vcard(aioxmpp.JID.fromstr(jid)))
        return next((element.text for element in vcard.elements if element.tag == "{vcard-temp}FN"), "")

    async def change_password(self, password):
        await self._asked(self.registration.change_pass(password))

    async def cancel(self):
        await self._asked(self.registration.cancel_registration())


@aioxmpp.private_xml.Query.as_payload_class
class _AioxmppNote(aioxmpp.xso.XSO):
    TAG = (NOTE, "note")
    text = aioxmpp.xso.Text(default=None)


class XmppJs:
    """@xmpp/client (JavaScript): `people.mjs` in a process of its own, asked line by line."""

    DOOR = "c2s"
    RESENDS_IN_ORDER = True

    def __init__(self, jid, password, ports, register=False, stays=False):
        service = self.service(ports)
        self.options = {"jid": jid, "password": password, "service": service, "register": register, "stays": stays}
        self.jid, self.messages, self.seen = jid, [], []
        self.changed = asyncio.Condition()
        self.asked, self.number = {}, 0

    @staticmethod
    def service(ports):
        return f"xmpp://127.0.0.1:{ports['c2s']}"

    async def __aenter__(self):
        self.child = await asyncio.create_subprocess_exec(
            "node", "--experimental-websocket", HERE / "people.mjs", json.dumps(self.options), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.reader = asyncio.create_task(self._read())
        await self("login")
        return self

    async def __aexit__(self, *_):
        try:
            if self.child.returncode is None:
                await self("leave")
        finally:
            self.child.stdin.close()
            await asyncio.wait_for(self.child.wait(), PATIENCE)
            await self.reader

    async def _read(self):
        while line := await self.child.stdout.readline():
            told = json.loads(line)
            async with self.changed:
                if "message" in told:
                    self.messages.append(tuple(told["message"]))
                elif "presence" in told:
                    self.seen.append(tuple(told["presence"]))
                else:
                    self.asked[told["number"]].set_result(told)
                self.changed.notify_all()

    async def __call__(self, what, *arguments):
        self.number += 1
        answer = self.asked[self.number] = asyncio.get_running_loop().create_future()
        question = {"number": self.number, "what": what, "arguments": arguments}
        self.child.stdin.write(json.dumps(question).encode() + b"\n")
        told = await asyncio.wait_for(answer, PATIENCE)
        if "error" in told:
            raise Refused(told["error"])
        return told.get("answer")

    async def until(self, predicate):
        try:
            async with asyncio.timeout(PATIENCE), self.changed:
                await self.changed.wait_for(predicate)
        except TimeoutError:
            raise AssertionError(f"in vain: it has {self.messages} and has seen {self.seen}") from None

    async def available(self):
        await self("available")
        await self.until(lambda: (self.jid, "available") in self.seen)

    async def contacts(self):
        return {jid: tuple(rest) for jid, *rest in await self("contacts")}

    async def blocked(self):
        return set(await self("blocked"))

    def __getattr__(self, name):
        return lambda *arguments: self(name, *arguments)


class XmppJsWeb(XmppJs):
    """The same over WebSocket and TLS, by Node's own WebSocket."""

    DOOR = "https"

    @staticmethod
    def service(ports):
        return f"wss://127.0.0.1:{ports['https']}/xmpp-websocket"
