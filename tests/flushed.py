"""Reads what strace saw of a server and looks whether each acknowledgement (XEP-0198) left after the flush that covers it.

    strace -f -yy -s 65536 -o TRACE -e trace=CALLS stonechat run ...
    python3 tests/flushed.py TRACE [SUFFIX]

CALLS are those below, which servers of all kinds read, write and flush with; for Stonechat those of replay.py do. Streams must be plain
TCP, and each message says its id in its body, as those of `crash` do. A message counts as safe once a write that carries its body had
ended before a flush of the same file began, and that flush has returned. With a suffix, such as `-wal`, only files whose names
end so are believed. What was refused before needs no flush.
"""

import re
import sys

FLUSHES = ("fdatasync", "fsync")
FILES = ("pwrite64", "pwritev", "pwritev2")  # and those of TO, on files
FROM = ("read", "recvfrom", "recvmsg", "readv")
TO = ("write", "writev", "sendto", "sendmsg")
CALLS = ",".join(FLUSHES + FILES + FROM + TO)
CALL = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
FILE = re.compile(r"^\d+<(/[^>]*)>")
# In whatever format: an id is letters and numbers, and what surrounds the body is not part of it.
MESSAGE = re.compile(r"([a-z]\w*-\d+) says that")
STANZA = re.compile(r"<(enable|resume|message|iq|presence)[ >/](?:[^>]*? id='([^']+)')?")
ACK = re.compile(r"<a [^>]*?h=['\"](\d+)|<resumed [^>]*?h=['\"](\d+)")
ERROR = re.compile(r"<message (?=[^>]*?type=['\"]error['\"])[^>]*? id=['\"]([^'\"]+)")
ESCAPE = re.compile(r'\\(["\\nrtvf]|[0-7]{1,3})')


def text(arguments):
    """What stands between quotes, as the program wrote or read it."""
    short = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "f": "\f", '"': '"', "\\": "\\"}
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)
    return "".join(ESCAPE.sub(lambda m: short.get(m[1]) or chr(int(m[1], 8)), part) for part in parts)


class Connection:
    def __init__(self):
        self.unread, self.counting, self.waiting, self.acked = "", False, [], 0

    def received(self, data):
        if (header := data.rfind("<stream:stream ")) >= 0:
            # It may be another connection from an address that was used before.
            self.__init__()
            data = data[header:]
        self.unread += data
        end = self.unread.rfind(">") + 1
        for name, id_ in STANZA.findall(self.unread[:end]):
            if name in ("enable", "resume"):
                self.counting = True
            elif self.counting:
                self.waiting.append(id_ if name == "message" else None)
        self.unread = self.unread[end:]


class Trace:
    def __init__(self, suffix=""):
        self.suffix = suffix
        self.written, self.flushing, self.safe, self.refused = {}, {}, set(), set()
        self.connections, self.pending = {}, {}
        self.acks, self.covered, self.flushes, self.wrong = 0, 0, 0, []

    def line(self, line):
        if resumed := RESUMED.match(line):
            pid, name, rest = resumed.groups()
            started = self.pending.pop((pid, name), None)
            if started is not None:
                self.ended(pid, name, started + rest)
        elif call := CALL.match(line):
            pid, name, rest = call.groups()
            self.started(pid, name, rest)
            if "<unfinished ...>" in rest:
                self.pending[pid, name] = rest.replace("<unfinished ...>", "")
            else:
                self.ended(pid, name, rest)

    def file(self, rest):
        file = FILE.match(rest)
        return file[1] if file and file[1].endswith(self.suffix) else None

    def started(self, pid, name, rest):
        if name in FLUSHES and (file := self.file(rest)):
            self.flushes += 1
            self.flushing[pid] = file, set(self.written.get(file, ()))
        elif name in TO and "<TCP" in rest[:40]:
            self.leaves(rest)

    def ended(self, pid, name, rest):
        if name in FLUSHES and pid in self.flushing:
            file, covered = self.flushing.pop(pid)
            if rest.rstrip().endswith("= 0"):
                self.safe |= covered
                self.written.get(file, set()).difference_update(covered)
        elif name in FILES + TO and (file := self.file(rest)):
            self.written.setdefault(file, set()).update(set(MESSAGE.findall(text(rest))) - self.safe)
        elif name in FROM and "<TCP" in rest[:40]:
            self.connection(rest).received(text(rest))

    def connection(self, rest):
        return self.connections.setdefault(rest.partition(">]>")[0].partition("]>")[0], Connection())

    def leaves(self, rest):
        connection, data = self.connection(rest), text(rest)
        self.refused.update(ERROR.findall(data))
        for ack in ACK.finditer(data):
            if ack[0].startswith("<resumed"):
                # Another connection counted until now: what it covered was looked at there.
                connection.waiting, connection.acked = [], int(ack[2])
                continue
            self.acks += 1
            more = (int(ack[1]) - connection.acked) % 2**32
            connection.acked = int(ack[1])
            for message in connection.waiting[:more]:
                if message is None:
                    continue
                self.acknowledged(message)
            del connection.waiting[:more]

    def acknowledged(self, message):
        self.covered += 1
        if message not in self.safe and message not in self.refused:
            self.wrong.append(f"{message} was acknowledged before it was flushed")

    def read(self, file):
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.line(line)
        return self


def main(file, suffix=""):
    trace = Trace(suffix).read(file)
    for wrong in trace.wrong[:20]:
        print(wrong)
    print(f"{trace.acks} acknowledgements of {trace.covered} messages, {len(trace.wrong)} before the flush")
    return 1 if trace.wrong or not trace.covered else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
