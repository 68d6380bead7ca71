"""The numbers of both programs, read by the parser of Prometheus' own Python client."""

import asyncio
import contextlib
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from harness import BINARIES, PATIENCE, Process, stonechat


def families(server):
    """By name, each with its samples; the parser fails on what is not of the format."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['metrics']}/metrics", timeout=30) as reply:
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = list(text_string_to_metric_families(reply.read().decode()))
    names = [family.name for family in found]
    assert len(names) == len(set(names)), names
    for family in found:
        assert family.documentation and family.samples, family
        labelled = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(labelled) == len(set(labelled)), family
    return {family.name: family for family in found}


def value(family, **labels):
    return next(sample.value for sample in family.samples if sample.labels == labels)


def begin(server):
    """A BOSH session."""
    body = (
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' wait='5' ver='1.6'"
        " xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'/>"
    )
    url = f"http://127.0.0.1:{server.ports['http']}/http-bind"
    with urllib.request.urlopen(url, body.encode(), timeout=30) as reply:
        assert b"mechanism" in reply.read()


async def scraped(server):
    found = families(server)
    assert found["bosh_cm_sessions"].type == "gauge"
    assert value(found["bosh_cm_sessions"], over="bosh") == 0
    begin(server)
    async with asyncio.timeout(PATIENCE):
        # An answer is counted once it is written, and may be read a moment before.
        while not value(families(server)["bosh_cm_push_seconds"], over="bosh", le="+Inf"):
            await asyncio.sleep(0.01)
    found = families(server)
    assert value(found["bosh_cm_sessions"], over="bosh") == 1
    assert found["bosh_cm_responses"].type == "counter"
    assert value(found["bosh_cm_responses"], kind="payloads") == 1
    pushes = found["bosh_cm_push_seconds"]
    assert pushes.type == "histogram"
    buckets = [one for one in pushes.samples if one.name.endswith("_bucket") and one.labels["over"] == "bosh"]
    bounds = [float(sample.labels["le"]) for sample in buckets]
    counts = [sample.value for sample in buckets]
    assert bounds == sorted(bounds) and bounds[-1] == float("inf")
    assert counts == sorted(counts) and counts[-1] == 1
    return found


def test_stonechat(tmp_path):
    async def story():
        async with stonechat(tmp_path, "metrics.listen=['127.0.0.1:0']") as server:
            found = await scraped(server)
            assert value(found["stonechat_streams"]) == 1

    asyncio.run(story())


def test_bosh_cm(tmp_path):
    async def story():
        async with contextlib.AsyncExitStack() as stack:
            behind = await stack.enter_async_context(
                stonechat(tmp_path, "c2s.require_tls=false", "http.listen=[]")
            )
            sets = [
                f"upstream.server=127.0.0.1:{behind.ports['c2s']}", "upstream.tls=none",
                "http.listen=['127.0.0.1:0']", "metrics.listen=['127.0.0.1:0']",
            ]
            manager = Process(BINARIES / "bosh-cm", *(f"--set={word}" for word in sets))
            manager = await stack.enter_async_context(manager)
            await scraped(manager)

    asyncio.run(story())
