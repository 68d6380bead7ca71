"""Reads what strace saw of a server and looks whether each acknowledgement (XEP-0198) left after the flush that covers it.

    strace -f -yy -s 65536 -o TRACE -e trace=fdatasync,fsync,pwrite64,read,recvfrom,write,writev,sendto stonechat run ...
    python3 tests/flushed.py TRACE

Streams must be plain TCP and the messages have ids. A message counts as safe once a write of the database's log that carries
its id had ended before a flush of that log began, and that flush has returned.
"""

import re
import sys

CALL = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
MESSAGE = re.compile(r"<message [^>]*?id='([^']+)'")
STANZA = re.compile(r"<(enable|resume|message|iq|presence)[ >/](?:[^>]*? id='([^']+)')?")
ACK = re.compile(r"<a [^>]*?h='(\d+)'|<resumed [^>]*?h='(\d+)'")
ERROR = re.compile(r"<message [^>]*?type='error'[^>]*?>")
ESCAPE = re.compile(r'\\(["\\nrt]|[0-7]{1,3})')


def text(arguments):
    """What stands between quotes, as the program wrote or read it."""
    short = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)
    return "".join(ESCAPE.sub(lambda m: short.get(m[1]) or chr(int(m[1], 8)), part) for part in parts)


class Connection:
    def __init__(self):
        self.unread, self.counting, self.waiting, self.acked, self.unsent = "", False, [], 0, ""

    def received(self, data):
        self.unread += data
        end = self.unread.rfind(">") + 1
        for name, id_ in STANZA.findall(self.unread[:end]):
            if name in ("enable", "resume"):
                self.counting = True
            elif self.counting:
                self.waiting.append(id_ if name == "message" else None)
        self.unread = self.unread[end:]


class Trace:
    def __init__(self):
        self.written, self.flushing, self.safe = set(), {}, set()
        self.connections, self.pending = {}, {}
        self.acks, self.covered, self.wrong = 0, 0, []

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

    def started(self, pid, name, rest):
        if name in ("fdatasync", "fsync") and "-wal>" in rest:
            self.flushing[pid] = set(self.written)
        elif name in ("write", "writev", "sendto") and "<TCP" in rest:
            self.leaves(rest)

    def ended(self, pid, name, rest):
        if name in ("fdatasync", "fsync") and pid in self.flushing:
            covered = self.flushing.pop(pid)
            if rest.rstrip().endswith("= 0"):
                self.safe |= covered
        elif name == "pwrite64" and "-wal>" in rest:
            self.written.update(MESSAGE.findall(text(rest)))
        elif name in ("read", "recvfrom") and "<TCP" in rest:
            self.connection(rest).received(text(rest))

    def connection(self, rest):
        return self.connections.setdefault(rest.partition(">]>")[0].partition("]>")[0], Connection())

    def leaves(self, rest):
        connection, data = self.connection(rest), text(rest)
        refused = len(ERROR.findall(data))
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
                self.acknowledged(message, refused)
            del connection.waiting[:more]

    def acknowledged(self, message, refused):
        self.covered += 1
        if message not in self.safe and not refused:
            self.wrong.append(f"{message} was acknowledged before it was flushed")

    def read(self, file):
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.line(line)
        return self


def main(file):
    trace = Trace().read(file)
    for wrong in trace.wrong[:20]:
        print(wrong)
    print(f"{trace.acks} acknowledgements of {trace.covered} messages, {len(trace.wrong)} before the flush")
    return 1 if trace.wrong or not trace.covered else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
