"""Measures what servers keep of what they have acknowledged, and writes the tables of docs/DURABILITY.md.

    python3 tests/durability.py compare [--kills N] [--seconds N] [--only SERVER]... [--dry]
    python3 tests/durability.py durable [--seconds N] [--dry]

`tests/crash compare` and `tests/crash durable` build what this needs.

*compare*: each server is killed N times by SIGKILL and asked to end N times by SIGTERM, or as often as there is time for; then
strace watches it, once with little to do and once with much. The same program does it to all of them (tests/src/crash), and the
same rules judge them (tests/crash.py, without any change).

*durable*: people chat over TLS, and a message counts when it is acknowledged (tests/bench/src/bin/durable.rs).
"""

import argparse
import collections
import datetime
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import crash
import flushed

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs/DURABILITY.md"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
SCRATCH = TARGET / "durability"  # on the disk, which a system's folder for scratch need not be
SERVERS = {
    "prosody-files": "Prosody, files",
    "prosody-sqlite": "Prosody, SQLite",
    "ejabberd-mnesia": "ejabberd, mnesia",
    "ejabberd-sqlite": "ejabberd, SQLite",
    "stonechat": "Stonechat",
}
# Under load: 16 devices that say something every millisecond or so, as long as fewer than eight of their messages wait.
LOAD = ["--acked", "1", "--load", "1000", "--pause", "2", "--again", "0"]
# In sequence: one message at a time, mostly.
SEQUENCE = ["--acked", "40", "--pause", "3000"]
KILLS_OF_A_RUN = 5
FLUSHES = 500

# What the second checker says, by its first words, and what it is called in the table.
FOUND = {
    r"N1 was acknowledged.*: \((True, False|False, )": "acknowledged, then missing in an archive",
    r"N1 was acknowledged": "acknowledged and archived, and not delivered",
    r"N1 \S+ saw": "seen with an archive's id that is gone",
    r"N4 is torn": "torn: not acknowledged, in one of the two archives only",
    r"N4": "subscriptions that one side does not know of",
    r"N2 .* times in the archive": "doubled in an archive",
    r"N1 .* times on one stream": "doubled on a stream",
    r"N1 came back": "given back to the sender and kept",
    r"N6 .* came back": "given back after it was acknowledged",
    r"N1 .* had taken": "delivered again to a client that had acknowledged it",
    r"N3": "archives and streams out of order",
    r"N5": "changes of rosters undone",
    r"": "other",
}


class Figures:
    """What a number of runs came to."""

    def __init__(self):
        self.kills, self.acked, self.asked, self.resumed = 0, 0, 0, 0
        self.after, self.ended, self.found, self.unjudged = [], [], collections.Counter(), []
        self.under_load, self.acked_under_load = 0, 0

    def add(self, file):
        lines = file.read_text().splitlines()
        history = crash.History(lines)
        self.acked += len(history.acked)
        for violation in history.violations():
            self.found[next(name for words, name in FOUND.items() if re.match(words, violation))] += 1
        up, asked, first, acked, killed = set(), set(), None, 0, 0
        for line in lines:
            moment, kind, *fields = line.split("\t")
            if kind == "stream":
                device, how = fields
                up.add(device)
                if how == "resumed" and device in asked:
                    self.asked, self.resumed = self.asked + 1, self.resumed + 1
                asked.discard(device)
            elif kind == "failed":
                self.asked += fields[0] in asked
                asked.discard(fields[0])
            elif kind == "acked":
                first, acked = first or int(moment), acked + 1
            elif kind == "killed":
                self.kills += 1
                killed = int(moment)
                asked, up = up, set()
                if first:
                    self.under_load += killed - first
                    self.acked_under_load += acked
            elif kind == "ready":
                self.after.append(int(fields[0]) / 1000)
                self.ended.append((int(moment) - killed) / 1e6 - self.after[-1])
                first, acked = None, 0

    def a_second(self):
        return self.acked_under_load / self.under_load * 1e6 if self.under_load else 0


def runs(server, term, kills, seconds, folder):
    """Kills a server so often, or for so long."""
    figures, began, longest = Figures(), time.monotonic(), 0
    folder.mkdir(parents=True)
    for seed in range(1, 1000):
        left = kills - figures.kills
        if left <= 0 or time.monotonic() - began + longest / 2 > seconds:
            break
        start = time.monotonic()
        status, error = crashes(server, ["--kills", str(min(left, KILLS_OF_A_RUN)), "--term", str(term), "--seed", str(seed),
                                         "--histories", str(folder), *LOAD])
        longest = max(longest, time.monotonic() - start)
        if status in (0, 1):
            figures.add(folder / f"crash-{seed}.tsv")
        else:
            figures.unjudged.append(error)
            print(f"    {error}", file=sys.stderr)
            if len(figures.unjudged) > 5:
                break
    return figures


def crashes(server, arguments, program=HERE / "peer"):
    command = [TARGET / "release/crash", "--program", program, "--with", server, "--runs", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRATCH, env=os.environ | {
        "TMPDIR": str(SCRATCH), "PEERS": str(SCRATCH / "peers")})
    return done.returncode, (done.stderr.strip().splitlines() or ["?"])[-1][:200]


def watched(server, arguments, folder):
    """Whether acknowledgements waited for a flush, as strace sees it, and how many flushes there were for each message."""
    trace, traced = folder / "trace", folder / "traced"
    traced.write_text(f"""#!/usr/bin/env bash
[ "$2" = run ] || exec "{HERE}/peer" "$@"
exec strace -f --seccomp-bpf -yy -s 65536 -o "{trace}" -e trace={flushed.CALLS} "{HERE}/peer" "$@"
""")
    traced.chmod(0o755)
    status, error = crashes(server, ["--kills", "0", "--door", "tcp", "--histories", str(folder), *arguments], traced)
    if not trace.exists():
        return "not measured", error
    seen = flushed.Trace("-wal" if server == "stonechat" else "").read(trace)
    trace.unlink()
    if not seen.covered:
        return "not measured", error
    before = len(seen.wrong)
    verdict = "yes" if not before else "never" if before == seen.covered or not seen.flushes else f"{before / seen.covered:.0%} not"
    return f"{verdict} ({seen.covered})", f"{seen.flushes / seen.covered:.2g}"


def flush_time():
    """How long the disk takes to flush 4 KiB appended to a file: p50 and p99 in milliseconds."""
    with tempfile.TemporaryFile(dir=SCRATCH, buffering=0) as file:
        took = []
        for _ in range(FLUSHES):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return took[FLUSHES // 2], took[FLUSHES * 99 // 100]


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    p50, p99 = flush_time()
    return (f"{datetime.date.today().isoformat()}, Linux {platform.release()}, {os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}); "
            f"4 KiB appended are flushed in {p50:.2f} ms (p50) and {p99:.2f} ms (p99)")


def version(package):
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return query.stdout or "?"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def of(part, whole):
    return f"{part:,}" + (f" ({part / whole:.1%})" if part and whole else "")


def middle_and_most(seconds):
    return f"{statistics.median(seconds):.2f} / {max(seconds):.2f} s" if seconds else "–"


def rows_of(figures):
    yield "kills", [f.kills for f in figures]
    yield "messages acknowledged", [f"{f.acked:,}" for f in figures]
    for name in FOUND.values():
        if name != "other" or any(f.found[name] for f in figures):
            yield name, [of(f.found[name], f.acked) for f in figures]
    yield "streams resumed, of those that asked", [f"{f.resumed:,} of {f.asked:,}" for f in figures]
    yield "gone after, p50 / max", [middle_and_most(f.ended) for f in figures]
    yield "serving again after, p50 / max", [middle_and_most(f.after) for f in figures]
    yield "acknowledged a second, under this load", [f"{f.a_second():,.0f}" for f in figures]
    if any(f.unjudged for f in figures):
        yield "runs that came to no end", [len(f.unjudged) for f in figures]


def settings():
    for server, name in SERVERS.items():
        if server == "stonechat":
            yield f"{name}: as it comes (`archive.default = \"always\"`, every commit flushed), archive and accounts in SQLite, WAL and synchronous=FULL."
            continue
        shown = subprocess.run([HERE / "peer", server, "settings"], capture_output=True, text=True, check=True).stdout
        yield f"{name}:\n\n" + "".join(f"    {line.strip()}\n" for line in shown.splitlines())


def write(marker, text):
    page = PAGE.read_text()
    begin, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->\n"
    before, rest = page.split(begin)
    PAGE.write_text(before + begin + text + end + rest.split(end)[1])


def compare(options):
    servers = options.only or list(SERVERS)
    names = [SERVERS[server] for server in servers]
    began, where = time.monotonic(), machine()
    text = f"Measured on {where}. Debian's Prosody {version('prosody')} and ejabberd {version('ejabberd')}.\n\n"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.rmtree(SCRATCH / "peers", ignore_errors=True)
        for signal, term in [("SIGKILL", 0), ("SIGTERM", 100)]:
            columns = []
            for server in servers:
                print(f"{server}, {signal} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
                columns.append(runs(server, term, options.kills, options.seconds, folder / server / signal))
            text += table([f"**{signal}**", *names], [[name, *cells] for name, cells in rows_of(columns)]) + "\n"
        rows = []
        for name, arguments in [("in sequence", SEQUENCE), ("under load", LOAD)]:
            print(f"flushes {name}", file=sys.stderr)
            seen = [watched(server, arguments, folder) for server in servers]
            rows += [[f"acknowledged after a flush, {name} (messages)", *(verdict for verdict, _ in seen)],
                     [f"flushes for each message, {name}", *(each for _, each in seen)]]
        text += table(["**strace**", *names], rows) + "\n"
    text += "The settings that matter here, each with its reason:\n\n" + "\n".join(settings())
    print(text)
    if not options.dry and not options.only:
        write("compare", text)


def durable(options):
    where = machine()
    command = [TARGET / "release/durable", "--program", TARGET / "release/stonechat", "--seconds", str(options.seconds)]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"TMPDIR": str(SCRATCH)}).stdout
    text = f"Measured on {where}.\n\n" + table(
        ["pairs", "in flight", "messages a second", "p50, ms", "p99, ms", "CPU seconds of the server for 1,000", "commits a second",
         "messages in a commit", "CPU seconds of the clients for 1,000"], [line.split("\t") for line in measured.splitlines()])
    print(text)
    if not options.dry:
        write("durable", text)


def main():
    parser = argparse.ArgumentParser()
    forms = parser.add_subparsers(dest="form", required=True)
    one = forms.add_parser("compare", help="what servers keep of what they have acknowledged")
    one.add_argument("--kills", type=int, default=60, help="how often each server is killed by each signal")
    one.add_argument("--seconds", type=float, default=55, help="or for how long, where that is less")
    one.add_argument("--only", action="append", choices=list(SERVERS), help="not all of them; then nothing is written")
    other = forms.add_parser("durable", help="how fast Stonechat keeps what it acknowledges")
    other.add_argument("--seconds", type=float, default=5, help="how long each row is measured")
    for form, what in (one, compare), (other, durable):
        form.add_argument("--dry", action="store_true", help="the table is shown only")
        form.set_defaults(what=what)
    options = parser.parse_args()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    options.what(options)


if __name__ == "__main__":
    main()
