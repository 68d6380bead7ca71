"""`bosh-cm` alone in front of Debian's Prosody: the same strophe.js round trip."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess

from browsers import chromium, strophe_page
from harness import BINARIES, PATIENCE, Process

CONFIG = """
pidfile = "{data}/prosody.pid"
data_path = "{data}"
log = {{ info = "{data}/prosody.log" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}
modules_enabled = {{ "roster", "saslauth", "disco", "presence", "message", "iq", "offline" }}
modules_disabled = {{ "s2s", "tls" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
run_as_root = true
VirtualHost "localhost"
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def prosody(folder, users):
    """Prosody with a configuration and a data folder of its own."""
    port, config = free_port(), folder / "prosody.cfg.lua"
    config.write_text(CONFIG.format(data=folder, port=port))
    environment = {**os.environ, "HOME": str(folder)}
    for user, password in users.items():
        subprocess.run(["prosodyctl", "--root", "--config", config, "register", user, "localhost", password],
                       check=True, env=environment, stdout=subprocess.DEVNULL)
    child = await asyncio.create_subprocess_exec(shutil.which("prosody"), "--root", "-F", "--config", str(config), env=environment,
                                                 stdout=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except ConnectionRefusedError:
                    assert child.returncode is None, (folder / "prosody.log").read_text()
                    await asyncio.sleep(0.05)  # another server's start cannot be waited for otherwise
        yield port
    finally:
        child.terminate()
        await child.wait()


def test_bosh_cm_in_front_of_prosody(tmp_path):
    asyncio.run(play(tmp_path))


async def play(folder):
    users = {"romeo": "montague", "juliet": "capulet"}
    async with prosody(folder, users) as port:
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
