"""`stonechat demo` as a newcomer meets it: the passwords it prints, the page it serves, two tabs."""

import asyncio
import re

from browsers import chromium
from harness import BINARIES, HERE, PATIENCE, Process


def test_demo_page(tmp_path):
    asyncio.run(play(tmp_path))


async def play(folder):
    pictures = HERE / "pictures"
    pictures.mkdir(exist_ok=True)
    async with Process(BINARIES / "stonechat", "demo", cwd=folder) as server, chromium() as browser:
        passwords = dict(re.findall(r"(\w+@localhost)\s+(\S+)$", server.log(), re.M))
        assert set(passwords) == {"romeo@localhost", "juliet@localhost"}, server.log()
        address = re.search(r"http://\S+", server.log())[0]
        tabs = {}
        for jid, password in passwords.items():
            page = await browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(PATIENCE * 1000)
            await page.goto(address)
            await page.fill("#jid", jid)
            await page.fill("#password", "wrong")
            await page.click("#login button")
            await page.locator("#error", has_text="Wrong address or password.").wait_for()
            await page.fill("#password", password)
            await page.click("#login button")
            await page.wait_for_selector("#add:not(.hidden)")
            tabs[jid.split("@")[0]] = page
        romeo, juliet = tabs["romeo"], tabs["juliet"]
        # No script may be put into the page (its policy forbids that), so everything is seen from outside.
        # The two have each other in their rosters from the start, and see each other arrive.
        await romeo.wait_for_selector("#roster li.here[data-jid='juliet@localhost']")
        await juliet.wait_for_selector("#roster li.here[data-jid='romeo@localhost']")
        await romeo.click("#roster li[data-jid='juliet@localhost']")
        await romeo.fill("#text", "But soft, what <light> & \"window\" breaks?")
        await romeo.click("#say button")
        await juliet.wait_for_selector("text=1 new")
        await juliet.click("#roster li[data-jid='romeo@localhost']")
        await juliet.locator("#log p").get_by_text("But soft, what <light> & \"window\" breaks?", exact=True).wait_for()
        await juliet.fill("#text", "O Romeo 🌹")
        await juliet.click("#say button")
        await romeo.locator("#log p:not(.mine)", has_text="O Romeo 🌹").wait_for()
        await romeo.wait_for_selector("#wire li.held")
        await romeo.screenshot(path=pictures / "demo.png")
        await juliet.click("#leave")
        await romeo.wait_for_selector("#roster li:not(.here)[data-jid='juliet@localhost']")
        await server.stop()
    # A second start has the same passwords.
    async with Process(BINARIES / "stonechat", "demo", cwd=folder) as server:
        assert dict(re.findall(r"(\w+@localhost)\s+(\S+)$", server.log(), re.M)) == passwords
        await server.stop()
