"""Chromium, and in it people on libraries of the web: strophe.js, stanza, converse.js."""

import contextlib
import functools
import http.server
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.parse

from playwright.async_api import TimeoutError, async_playwright

from harness import HERE, PATIENCE

MODULES = HERE / "node_modules"


class _Pages(http.server.SimpleHTTPRequestHandler):
    """The folder `pages`, what `bundles` has, and converse.js as it comes."""

    def __init__(self, *arguments, bundles, **words):
        self.bundles = bundles
        super().__init__(*arguments, **words)

    def translate_path(self, path):
        name = urllib.parse.unquote(urllib.parse.urlsplit(path).path).lstrip("/")
        if name.startswith("converse/"):
            return str(MODULES / "converse.js" / "dist" / name.removeprefix("converse/"))
        return str((self.bundles if (self.bundles / name).exists() else HERE / "pages") / name)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def page_server():
    """Serves the pages of all libraries on a free port of 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        bundles = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copy(MODULES / "strophe.js" / "dist" / "strophe.umd.min.js", bundles / "strophe.js")
        # stanza comes as modules for a bundler.
        subprocess.run(
            [MODULES / ".bin" / "esbuild", MODULES / "stanza" / "index.js", "--bundle", "--format=iife", "--log-level=error",
             "--global-name=stanza", "--define:global=window", f"--outfile={bundles / 'stanza.js'}"],
            check=True,
        )
        server = stack.enter_context(
            http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Pages, bundles=bundles))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        yield f"http://127.0.0.1:{server.server_port}"


@contextlib.asynccontextmanager
async def chromium(*more):
    """Debian's Chromium, headless, with these arguments too."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                  "--disable-background-networking", "--disable-component-update",
                  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # a page asks for what is here only
                  *more],
        )
        try:
            yield browser
        finally:
            await browser.close()


class Page:
    """A person on a library, in a page from another origin than the server's; `url` is where the server is.

    `wire` is all that it has sent, body by body or frame by frame; `told` what it was told over WebSocket; `protocols`
    what both went over; `complaints` the errors on its console.
    """

    html = None

    def __init__(self, browser, pages, url=None):
        self.browser, self.pages, self.url = browser, pages, url
        self.wire, self.told, self.complaints, self.protocols = [], [], [], set()

    async def __aenter__(self):
        # Each has a profile of its own, as on a machine of its own. The certificates of tests are signed by nobody.
        self.context = await self.browser.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
        self.page = await self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("request", lambda request: self.wire.append(request.post_data or ""))
        self.page.on("websocket", self._websocket)
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        inspector = await self.context.new_cdp_session(self.page)
        inspector.on("Network.responseReceived", self._responded)
        inspector.on("Network.webSocketHandshakeResponseReceived", self._upgraded)
        await inspector.send("Network.enable")
        await self.open()
        return self

    async def __aexit__(self, *_):
        await self.context.close()

    def _websocket(self, socket):
        socket.on("framesent", lambda frame: self.wire.append(frame))
        socket.on("framereceived", lambda frame: self.told.append(frame))

    def _responded(self, event):
        if event["response"]["url"] == self.url:
            self.protocols.add(event["response"]["protocol"])

    def _upgraded(self, event):
        # RFC 8441 5: over HTTP/2 nothing is switched, so that the answer is 200.
        self.protocols.add({101: "http/1.1", 200: "h2"}[event["response"]["status"]])

    @property
    def over_websocket(self):
        return self.url.startswith("ws")

    @property
    def streams_are_managed(self):
        """Whether the server offers XEP-0198 on a WebSocket."""
        return any("urn:xmpp:sm:3" in frame for frame in self.told)

    def acknowledged(self):
        """How many of its stanzas it was told to be handled (XEP-0198 4)."""
        acknowledged = [re.search(r"h='(\d+)'", frame)[1] for frame in self.told if frame.startswith("<a ")]
        return int(acknowledged[-1]) if acknowledged else 0

    @property
    def has_resumed(self):
        """Whether it has gone on with a stream (XEP-0198 5)."""
        return any(frame.startswith("<resumed ") for frame in self.told)

    async def open(self):
        await self.page.goto(f"{self.pages}/{self.html}")

    async def leave(self):
        """The page is gone, as in the middle of a reload."""
        await self.page.goto("about:blank")

    async def call(self, expression, *arguments):
        return await self.page.evaluate(f"(arguments) => ({expression})(...arguments)", list(arguments))

    async def until(self, expression, *arguments):
        try:
            await self.page.wait_for_function(f"(arguments) => ({expression})(...arguments)", arg=list(arguments))
        except TimeoutError:
            heard = await self.heard()
            raise AssertionError(f"in vain: {expression}; it has {heard} and complains of {self.complaints}") from None

    async def login(self, jid, password):
        """The address that it is bound to, or None."""
        self.jid, self.password = jid, password
        return await self.call("(url, jid, password) => connect(url, jid, password)", self.url, jid, password)

    async def back(self):
        """The page is there again. Over BOSH it goes on with its session, over WebSocket it logs in again."""
        await self.open()
        if self.over_websocket:
            return await self.login(self.jid, self.password)
        return await self.call("(url, jid) => restore(url, jid)", self.url, self.jid)

    async def logout(self):
        await self.call("() => { leave(); }")

    async def available(self):
        await self.call("() => presence()")

    async def add(self, jid):
        await self.call("jid => add(jid)", jid)

    async def accept(self, jid):
        """Lets somebody who asked see that it is there."""
        await self.until("jid => got.presence.some(p => p.from === jid && p.type === 'subscribe')", jid)
        await self.call("jid => presence(jid, 'subscribed')", jid)

    async def until_here(self, jid):
        """The contact is seen in the roster, and available."""
        await self.until("jid => got.presence.some(p => p.from.startsWith(jid + '/') && p.type === 'available')", jid)
        assert jid in await self.call("() => roster()")

    async def talk_to(self, jid):
        """Whom it talks to from now on."""
        self.partner = jid

    async def say(self, *bodies):
        for body in bodies:
            await self.call("(to, body) => { say(to, body); }", self.partner, body)

    async def heard(self):
        """What was heard, the oldest first."""
        return await self.call("() => heard()")

    async def until_heard(self, count):
        """The same once it is that much."""
        await self.until("count => heard().length >= count", count)
        return await self.heard()

    async def until_shown(self, bodies):
        """Waits until they stand in the conversation, where the page has one."""


class Strophe(Page):
    """strophe.js."""

    html = "strophe.html"


class Stanza(Page):
    """stanza."""

    html = "stanza.html"


class Converse(Page):
    """converse.js, by its user interface."""

    html = "converse.html"

    async def open(self):
        await self.page.goto(f"{self.pages}/{self.html}?{urllib.parse.urlencode({'url': self.url})}")

    async def login(self, jid, password):
        self.jid, self.password = jid, password
        await self.page.fill("#converse-login-jid", jid)
        await self.page.fill("#converse-login-password", password)
        await self.page.click("#converse-login [type=submit]")
        return await self._logged()

    async def back(self):
        # Whether it was away it finds out, and logs in, by itself.
        await self.open()
        full = await self._logged()
        await self.talk_to(self.partner)
        return full

    async def _logged(self):
        done = self.page.locator("#converse-login .alert, converse-user-profile").first
        await done.wait_for()
        if await self.page.locator("converse-user-profile").count():
            return await self.call("() => api.connection.get().jid")
        return None

    async def logout(self):
        await self.call("() => { api.user.logout(); }")

    async def available(self):
        pass  # it says so when it logs in

    async def add(self, jid):
        await self.call("async jid => { await api.waitUntil('rosterContactsFetched'); await api.contacts.add({ jid }, true, true); }", jid)

    async def accept(self, jid):
        pass  # it does so with those whom it has asked

    async def until_here(self, jid):
        await self.page.wait_for_selector(f".list-item.online [data-jid='{jid}']")

    async def talk_to(self, jid):
        await super().talk_to(jid)
        await self.page.locator(f".list-item [data-jid='{jid}']").first.click()
        await self.page.wait_for_selector("textarea.chat-textarea")

    async def say(self, *bodies):
        for body in bodies:
            await self.page.fill("textarea.chat-textarea", body)
            await self.page.press("textarea.chat-textarea", "Enter")

    async def until_shown(self, bodies):
        await self.until("bodies => bodies.every(body => remembered().includes(body))", bodies)


@contextlib.asynccontextmanager
async def strophe_page(browser):
    """strophe.js on a page, for whoever needs no other."""
    with page_server() as pages:
        async with Strophe(browser, pages) as page:
            yield page
