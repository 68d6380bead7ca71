"""Measures what servers keep of what they have acknowledged, and writes the tables of docs/DURABILITY.md.

    python3 tests/durability.py compare [--kills N] [--seconds N] [--only SERVER]... [--dry]
    python3 tests/durability.py flush FOLDER

`tests/crash compare` builds what this needs. Each server is killed N times by SIGKILL and asked to end N times by SIGTERM, or as
often as there is time for; then strace watches it, once with little to do and once with much. The same program does it to all
of them (tests/src/crash), and the same rules judge them (tests/crash.py, without any change).
"""

import argparse
import collections
import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

import crash
import flushed

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
PAGE = ROOT / "docs/DURABILITY.md"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
SERVERS = {
    "prosody-files": "Prosody, files",
    "prosody-sqlite": "Prosody, SQLite",
    "ejabberd-mnesia": "ejabberd, mnesia",
    "ejabberd-sqlite": "ejabberd, SQLite",
    "stonechat": "Stonechat",
}
# Under load: 16 devices that say something every millisecond or so, as long as fewer than eight of their messages wait.
LOAD = ["--acked", "1", "--load", "1000", "--pause", "2"]
# In sequence: one message at a time, mostly.
SEQUENCE = ["--acked", "40", "--pause", "3000"]
KILLS_OF_A_RUN = 8
FLUSHES = 500

# What the second checker says, by its first words, and what it is called in the table.
FOUND = {
    r"N1 was acknowledged.*: \((True, False|False, )": "acknowledged, then missing in an archive",
    r"N1 was acknowledged": "acknowledged and archived, and not delivered",
    r"N1 \S+ saw": "seen with an archive's id that is gone",
    r"N4": "torn: not acknowledged, in one of the two archives only",
    r"N2 .* times in the archive": "doubled in an archive",
    r"N1 .* times on one stream": "doubled on a stream",
    r"N1 came back": "given back to the sender and kept",
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
                if device in asked:
                    asked.discard(device)
                    self.asked += 1
                    self.resumed += how == "resumed"
                up.add(device)
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
    scratch = TARGET / "durability"  # on the disk, which a system's folder for scratch need not be
    scratch.mkdir(parents=True, exist_ok=True)
    command = [TARGET / "release/crash", "--program", program, "--with", server, "--runs", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(scratch)})
    return done.returncode, (done.stderr.strip().splitlines() or ["?"])[-1][:200]


def watched(server, arguments, folder):
    """Whether acknowledgements waited for a flush, as strace sees it, and how many flushes there were for each message."""
    trace, traced = folder / "trace", folder / "traced"
    calls = ",".join(flushed.FLUSHES + flushed.FILES + flushed.FROM + flushed.TO)
    traced.write_text(f"""#!/usr/bin/env bash
[ "$2" = run ] || exec "{HERE}/peer" "$@"
exec strace -f --seccomp-bpf -yy -s 65536 -o "{trace}" -e trace={calls} "{HERE}/peer" "$@"
""")
    traced.chmod(0o755)
    status, error = crashes(server, ["--kills", "0", "--door", "tcp", *arguments], traced)
    if not trace.exists():
        return "not measured", error
    seen = flushed.Trace("-wal" if server == "stonechat" else "").read(trace)
    trace.unlink()
    if not seen.covered:
        return "not measured", error
    before = len(seen.wrong)
    verdict = "yes" if not before else "never" if before == seen.covered else f"{before / seen.covered:.0%} not"
    return f"{verdict} ({seen.covered})", f"{seen.flushes / seen.covered:.2g}"


def flush_time(folder):
    """How long the disk takes to flush 4 KiB appended to a file: p50 and p99 in milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
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
    p50, p99 = flush_time(TARGET / "durability")
    return (f"{datetime.date.today().isoformat()}, Linux {platform.release()}, {os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}); "
            f"4 KiB appended are flushed in {p50:.2f} ms (p50) and {p99:.2f} ms (p99)")


def version(package):
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return query.stdout or "?"


def table(columns, rows):
    head = ["", *columns]
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
    where = machine()
    text = f"Measured on {where}. Debian's Prosody {version('prosody')} and ejabberd {version('ejabberd')}.\n\n"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for signal, term in [("SIGKILL", 0), ("SIGTERM", 100)]:
            columns = []
            for server in servers:
                print(f"{server}, {signal} ({time.process_time():.0f} s)", file=sys.stderr)
                columns.append(runs(server, term, options.kills, options.seconds, folder / server / signal))
            text += table([f"**{signal}**", *names][1:], [[name, *cells] for name, cells in rows_of(columns)]).replace("|  |", f"| **{signal}** |", 1) + "\n"
        rows = []
        for name, arguments in [("in sequence", SEQUENCE), ("under load", LOAD)]:
            print(f"flushes {name}", file=sys.stderr)
            seen = [watched(server, arguments, folder) for server in servers]
            rows += [[f"acknowledged after a flush, {name} (messages)", *(verdict for verdict, _ in seen)],
                     [f"flushes for each message, {name}", *(each for _, each in seen)]]
        text += table(names, rows).replace("|  |", "| **strace** |", 1) + "\n"
    text += "The settings that matter here, each with its reason:\n\n" + "\n".join(settings())
    print(text)
    if not options.dry:
        write("compare", text)


def main():
    parser = argparse.ArgumentParser()
    forms = parser.add_subparsers(dest="form", required=True)
    one = forms.add_parser("compare")
    one.add_argument("--kills", type=int, default=60)
    one.add_argument("--seconds", type=float, default=55)
    one.add_argument("--only", action="append", choices=list(SERVERS))
    one.add_argument("--dry", action="store_true")
    forms.add_parser("flush").add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    if options.form == "flush":
        print("{:.3f} {:.3f}".format(*flush_time(options.folder)))
    else:
        compare(options)


if __name__ == "__main__":
    main()
