"""Debian's Prosody, as a process of its own."""

import asyncio
import contextlib
import os
import shutil
import subprocess

from harness import PATIENCE

# What every configuration has; `c2s_ports`, whether it speaks TLS, and the hosts are the test's.
COMMON = """
pidfile = "{folder}/prosody.pid"
data_path = "{folder}"
log = {{ info = "{folder}/prosody.log" }}
interfaces = {{ "127.0.0.1" }}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}
run_as_root = true
"""


@contextlib.asynccontextmanager
async def prosody(folder, config, ports, accounts):
    """With this configuration, until it listens on all of these ports; accounts are (user, host, password)."""
    file = folder / "prosody.cfg.lua"
    file.write_text(COMMON.format(folder=folder) + config)
    environment = {**os.environ, "HOME": str(folder)}
    for account in accounts:
        subprocess.run(["prosodyctl", "--root", "--config", file, "register", *account],
                       check=True, env=environment, stdout=subprocess.DEVNULL)
    child = await asyncio.create_subprocess_exec(
        shutil.which("prosody"), "--root", "-F", "--config", str(file), env=environment, stdout=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            for port in ports:
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        break
                    except ConnectionRefusedError:
                        assert child.returncode is None, (folder / "prosody.log").read_text()
                        await asyncio.sleep(0.05)  # another server's start cannot be waited for otherwise
        yield
    finally:
        child.kill()  # while its clients leave it may miss a SIGTERM, and never end
        await child.wait()
