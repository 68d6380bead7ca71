"""`bosh-cm` alone in front of Debian's Prosody: the same strophe.js round trip."""

import asyncio
import socket

from browsers import chromium, strophe_page
from foreign import prosody
from harness import BINARIES, Process

CONFIG = """
c2s_ports = {{ {port} }}
modules_enabled = {{ "roster", "saslauth", "disco", "presence", "message", "iq", "offline" }}
modules_disabled = {{ "s2s", "tls" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
VirtualHost "localhost"
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_bosh_cm_in_front_of_prosody(tmp_path):
    asyncio.run(play(tmp_path))


async def play(folder):
    port = free_port()
    accounts = [("romeo", "localhost", "montague"), ("juliet", "localhost", "capulet")]
    async with prosody(folder, CONFIG.format(port=port), [port], accounts):
        sets = ["http.listen=['127.0.0.1:0']", f"upstream.server=127.0.0.1:{port}", "upstream.tls=none"]
        command = [BINARIES / "bosh-cm", *(f"--set={one}" for one in sets)]
        async with Process(*command) as manager, chromium() as browser:
            url = f"http://127.0.0.1:{manager.ports['http']}/http-bind"
            async with strophe_page(browser) as romeo, strophe_page(browser) as juliet:
                romeo.url = juliet.url = url
                assert await romeo.login("romeo@localhost", "wrong") is None
                await romeo.page.reload()
                full = await romeo.login("romeo@localhost", "montague")
                assert full and await juliet.login("juliet@localhost", "capulet")
                await romeo.call("() => presence()")
                await juliet.call("() => presence()")
                await juliet.call("(to, prefix, count) => sayMany(to, prefix, count)", full, "from juliet ", 100)
                await romeo.until("() => got.messages.length >= 100")
                assert await romeo.call("() => got.messages.map(m => m.body)") == [f"from juliet {n}" for n in range(100)]
                await romeo.call("(to, prefix, count) => sayMany(to, prefix, count)", "juliet@localhost", "from romeo ", 100)
                await juliet.until("() => got.messages.length >= 100")
                assert await juliet.call("() => got.messages.map(m => m.body)") == [f"from romeo {n}" for n in range(100)]
                await romeo.call("() => leave()")
                await romeo.until("() => got.errors.includes('disconnected')")
            await manager.stop()
