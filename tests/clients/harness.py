"""What the client tests share: servers as processes of their own, a desktop client, a terminal."""

import asyncio
import contextlib
import functools
import os
import pathlib
import re
import signal
import ssl
import subprocess

import slixmpp

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BINARIES = pathlib.Path(os.environ.get("STONECHAT_BINARIES", ROOT / "target" / "release"))
PATIENCE = 30.0


class Process:
    """A program that prints `listening KIND ADDRESS:PORT` lines and then `ready`."""

    def __init__(self, *command, cwd=None):
        self.command, self.cwd = [str(word) for word in command], cwd

    async def __aenter__(self):
        self.child = await asyncio.create_subprocess_exec(
            *self.command, cwd=self.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.ports, self.errors = {}, []
        self.reader = asyncio.create_task(self._read_errors())
        async with asyncio.timeout(PATIENCE):
            while (line := (await self.child.stdout.readline()).decode().strip()) != "ready":
                assert line, f"{self.command} ended: {self.log()}"
                match = re.fullmatch(r"listening (\S+) (\S+):(\d+)", line)
                assert match, f"unexpected on standard output: {line!r}"
                self.ports[match[1]] = int(match[3])
        return self

    async def _read_errors(self):
        while line := await self.child.stderr.readline():
            self.errors.append(line.decode(errors="replace").rstrip())

    def log(self):
        return "\n".join(self.errors)

    async def stop(self):
        """SIGTERM: a clean stop has status 0."""
        self.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            status = await self.child.wait()
            await self.reader
        assert status == 0, f"status {status}: {self.log()}"

    async def __aexit__(self, *_):
        if self.child.returncode is None:
            self.child.kill()
            await self.child.wait()
        self.reader.cancel()


def stonechat(data, *sets):
    """A server of its own on free ports, its store in `data`."""
    words = [f"data={data}", "c2s.listen=['127.0.0.1:0']", "c2s.direct_tls=[]", "http.listen=['127.0.0.1:0']"]
    return Process(BINARIES / "stonechat", "run", *(f"--set={word}" for word in [*words, *sets]))


def add_user(data, jid, password):
    subprocess.run(
        [BINARIES / "stonechat", "user", "add", jid, "--password-stdin", f"--set=data={data}"],
        input=f"{password}\n", text=True, check=True,
    )


class Desktop(slixmpp.ClientXMPP):
    """A desktop client: slixmpp over STARTTLS, SCRAM chosen by itself.

    `messages` are (bare address, body), `senders` the full addresses that they came from, `seen` (bare address, type)
    of presence.
    """

    def __init__(self, jid, password, port):
        super().__init__(jid, password)
        # The test's certificate is self-signed: encrypted, but nobody vouches for it.
        self.ssl_context = ssl.create_default_context()
        self.ssl_context.check_hostname, self.ssl_context.verify_mode = False, ssl.CERT_NONE
        self.enable_direct_tls = False
        self.auto_authorize = self.auto_subscribe = None
        self.port_to_use, self.messages, self.seen = port, [], []
        self.senders = set()
        self.changed = asyncio.Condition()
        self.started = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.add_event_handler("message", self._message)
        # slixmpp counts what a person shows (RFC 6121 4.7.2.1) among the types.
        shown = ["available", "chat", "away", "xa", "dnd", "unavailable"]
        for kind in [*shown, "subscribe", "subscribed", "unsubscribe", "unsubscribed"]:
            self.add_event_handler(f"presence_{kind}", functools.partial(self._presence, kind))

    async def _note(self, where, what):
        async with self.changed:
            where.append(what)
            self.changed.notify_all()

    async def _message(self, stanza):
        self.senders.add(stanza["from"].full)
        await self._note(self.messages, (stanza["from"].bare, stanza["body"]))

    async def _presence(self, kind, stanza):
        await self._note(self.seen, (stanza["from"].bare, kind))

    async def until(self, predicate):
        try:
            async with asyncio.timeout(PATIENCE), self.changed:
                await self.changed.wait_for(predicate)
        except TimeoutError:
            raise AssertionError(f"in vain: it has {self.messages} and has seen {self.seen}") from None

    async def __aenter__(self):
        self.connect("127.0.0.1", self.port_to_use)
        async with asyncio.timeout(PATIENCE):
            await self.started.wait()
            # As every chat client does at login: whoever has not asked hears nothing of subscriptions (RFC 6121 2.2).
            await self.get_roster()
        return self

    async def __aexit__(self, *_):
        await asyncio.wait_for(self.disconnect(), PATIENCE)


class Terminal:
    """A program for the terminal, in a tmux of its own; `home` is where it keeps what it keeps."""

    def __init__(self, home, *command):
        self.command, self.socket = [str(word) for word in command], home / "tmux"
        self.environment = os.environ | {
            "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data"),
            "TERM": "screen-256color", "LC_ALL": "C.UTF-8",
        }

    def _tmux(self, *words):
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words], env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    async def __aenter__(self):
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40", *self.command)
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(subprocess.CalledProcessError):
            # It may have ended by itself.
            self._tmux("kill-server")

    def enter(self, line):
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def screen(self):
        return self._tmux("capture-pane", "-p")

    async def until(self, text):
        """The screen shows it. A screen tells nobody that it changed, so it is looked at again and again."""
        try:
            async with asyncio.timeout(PATIENCE):
                while text not in self.screen():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"no {text!r} on\n{self.screen()}") from None
