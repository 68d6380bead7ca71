"""Rebuilds, from what strace saw of a server, its database as a power cut would have left it at some moment, and looks whether
all messages are there that the server had acknowledged by then (XEP-0198) or given to anybody.

    strace -f -yy -s 65536 -o TRACE -e trace=$(python3 tests/replay.py --calls) stonechat run ...
    python3 tests/replay.py TRACE BEFORE PROGRAM [IMAGES [SEED]]

BEFORE is the data folder as it was before the server was started, which may have been killed and started again, PROGRAM is
`stonechat`. What was written and flushed is on the disk. Of what was written since, one image has nothing and the next some:
whole calls are missing, and others are torn at sectors. The files of streams that are resumed are not there: after a power cut
nobody believes them.
"""

import collections
import pathlib
import random
import re
import sqlite3
import subprocess
import sys
import tempfile

import flushed

CALLS = "fdatasync,fsync,pwrite64,ftruncate,unlink,rename,read,recvfrom,write,writev,sendto"
SECTORS = (512, 4096)
OF_A_FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
KILLED = re.compile(r"^(\d+) +\+\+\+ killed")
TAG = re.compile(r"<message [^>]*>")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')


class File:
    """What was done to a file: by line of the trace, each with where it began and ended."""

    def __init__(self):
        self.changes, self.flushes = [], []

    def cut(self, moment, keep):
        """The changes that a cut at this line leaves. `keep` gives what is left of one that was not flushed, if anything."""
        flushed_before = max((began for began, ended in self.flushes if ended < moment), default=0)
        for began, ended, change in self.changes:
            if ended < flushed_before:
                yield change
            elif began < moment:
                yield from keep(change)


class Trace(flushed.Trace):
    def __init__(self, names):
        super().__init__()
        self.files = {name: File() for name in names}
        self.now, self.began, self.promised = 0, {}, []

    def line(self, line):
        self.now += 1
        super().line(line)
        if killed := KILLED.match(line):
            # What it was writing is written: a file is no place where a call stops half-way.
            for pid, name in [call for call in self.pending if call[0] == killed[1]]:
                self.ended(pid, name, self.pending.pop((pid, name)))

    def started(self, pid, name, rest):
        self.began[pid, name] = self.now
        super().started(pid, name, rest)

    def ended(self, pid, name, rest):
        super().ended(pid, name, rest)
        began = self.began.pop((pid, name))
        if name in ("unlink", "rename"):
            path = LITERAL.match(rest)[1]
            assert pathlib.Path(path).name not in self.files, f"{name}({rest}: what that means is not written here"
        elif of := OF_A_FILE.match(rest):
            file = self.files.get(pathlib.Path(of["path"]).name)
            if file and not rest.rstrip().endswith("= -1"):
                self.changed(file, name, rest, began)

    def changed(self, file, name, rest, began):
        if name in ("fdatasync", "fsync"):
            file.flushes.append((began, self.now))
        elif name == "ftruncate":
            file.changes.append((began, self.now, ("truncate", int(rest.split(", ")[1].partition(")")[0]), b"")))
        elif name == "pwrite64":
            literal = LITERAL.search(rest)
            assert literal and not literal[2], "strace has cut what was written: a larger -s is needed"
            data = literal[1].encode("latin-1").decode("unicode_escape").encode("latin-1")
            offset = int(rest[literal.end():].split(", ")[2].partition(")")[0])
            file.changes.append((began, self.now, ("write", offset, data)))

    def acknowledged(self, message):
        super().acknowledged(message)
        if message not in self.refused:
            self.promised.append((self.now, message))

    def leaves(self, rest):
        super().leaves(rest)
        # Nobody sees a message that a crash takes out of the archive again.
        seen = [tag for tag in TAG.findall(flushed.text(rest)) if "type='error'" not in tag]
        self.promised.extend((self.now, message) for tag in seen for message in flushed.MESSAGE.findall(tag))


def nothing(_change):
    return []


def some(dice):
    """Keeps half of the changes, and of half of those only some sectors."""
    sector = dice.choice(SECTORS)

    def keep(change):
        kind, offset, data = change
        if dice.random() < 0.5:
            return
        if kind == "truncate" or dice.random() < 0.5:
            yield change
            return
        start = 0
        while start < len(data):
            end = min(len(data), (offset + start) // sector * sector + sector - offset)
            if dice.random() < 0.5:
                yield kind, offset + start, data[start:end]
            start = end

    return keep


def rebuild(before, changes):
    content = bytearray(before)
    for kind, offset, data in changes:
        if kind == "truncate":
            content[offset:] = bytes(max(0, offset - len(content)))
        else:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset:offset + len(data)] = data
    return content


def missing(folder, database, program, messages):
    """What is wrong with this data folder: what it says itself, and which of the messages are not in both archives."""
    opened = subprocess.run([program, "user", "list", f"--set=data={folder}"], capture_output=True, text=True, check=False)
    if opened.returncode:
        yield f"it cannot be opened: {opened.stderr.strip()}"
        return
    owners = collections.defaultdict(set)
    try:
        base = sqlite3.connect(folder / database)
        sound = base.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if sound != "ok":
            yield f"it is broken: {sound}"
        for owner, stanza in base.execute("SELECT id >> 32, stanza FROM message WHERE peer IS NOT NULL"):
            for message in flushed.MESSAGE.findall(stanza.decode()):
                owners[message].add(owner)
        base.close()
    except sqlite3.DatabaseError as error:
        yield f"it cannot be read: {error}"
    for message in messages:
        if len(owners[message]) != 2:
            yield f"{message}, acknowledged or delivered, is in {len(owners[message])} archives"


def main(trace, before, program, images="200", seed=None):
    database = next(pathlib.Path(before).glob("*.db")).name
    trace = Trace([database, f"{database}-wal"]).read(trace)
    seed = int(seed) if seed else random.randrange(2**32)
    dice = random.Random(seed)
    wrong = 0
    for image in range(int(images)):
        keep = some(dice) if image % 2 else nothing
        moment = dice.randrange(trace.promised[0][0], trace.now) + 1
        promised = {message for at, message in trace.promised if at < moment}
        with tempfile.TemporaryDirectory() as folder:
            for name, file in trace.files.items():
                path = pathlib.Path(before) / name
                content = rebuild(path.read_bytes() if path.exists() else b"", file.cut(moment, keep))
                (pathlib.Path(folder) / name).write_bytes(content)
            found = list(missing(pathlib.Path(folder), database, program, promised))
        if found:
            wrong += 1
            print(f"image {image} (after line {moment}, {len(promised)} messages): {len(found)} faults, such as: {found[0].partition(chr(10))[0]}")
    print(f"{images} images (seed {seed}) of {len({message for _, message in trace.promised})} messages, {wrong} of them wrong")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(print(CALLS) if sys.argv[1:] == ["--calls"] else main(*sys.argv[1:]))
