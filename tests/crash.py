"""Judges the histories of `crash` by the same rules as tests/src/crash/check.rs, from the file alone and with other means:
one pass that answers, for each message, where it is; then a look at every sequence.

    python3 tests/crash.py HISTORY.tsv...
"""

import collections
import pathlib
import sys


def bare(device):
    return device.partition("/")[0]


class History:
    def __init__(self, lines):
        self.sent, self.acked, self.refused, self.doubt = {}, set(), set(), set()
        self.archives = collections.defaultdict(list)
        self.streams, self.late = collections.defaultdict(lambda: [[]]), set()
        self.seen_ids, self.names, self.items = set(), collections.defaultdict(list), {}
        for line in lines:
            _, kind, *fields = line.rstrip("\n").split("\t")
            getattr(self, f"on_{kind}")(*fields)

    def on_stream(self, device, how):
        if how == "new":
            self.streams[device].append([])

    def on_sent(self, message, device, to):
        assert message not in self.sent, f"{message} is used twice"
        self.sent[message] = (len(self.sent), device, to)

    def on_acked(self, message):
        self.acked.add(message)

    def on_refused(self, message, _condition):
        self.refused.add(message)

    def on_doubt(self, message):
        self.doubt.add(message)

    def on_received(self, message, device, uid, way):
        if way == "delayed":
            self.late.add((device, message))
        self.streams[device][-1].append(message)
        if uid:
            self.seen_ids.add((bare(device), message, uid))

    def on_naming(self, owner, contact, name):
        self.names[owner, contact].append([name, False])

    def on_named(self, owner, contact, name):
        for entry in reversed(self.names[owner, contact]):
            if entry[0] == name:
                entry[1] = True
                return

    def on_killed(self):
        pass

    def on_ready(self, _milliseconds):
        pass

    def on_settled(self):
        pass

    def on_archived(self, owner, message, uid):
        self.archives[owner].append((message, uid))

    def on_item(self, owner, contact, name):
        self.items[owner, contact] = name

    def violations(self):
        yield from self.fates()
        yield from self.sequences()
        yield from self.rosters()

    def fates(self):
        rows = collections.Counter((owner, message) for owner, all_ in self.archives.items() for message, _ in all_)
        got = {(bare(device), m) for device, streams in self.streams.items() for stream in streams for m in stream}
        for (owner, message), count in rows.items():
            if count > 1:
                yield f"N2 {message} is {count} times in the archive of {owner}"
            if message not in self.sent:
                yield f"N2 {message} in the archive of {owner} comes from nobody"
        for message, (_, device, to) in self.sent.items():
            fate = (rows[bare(device), message] > 0, rows[to, message] > 0, (to, message) in got)
            if message in self.refused:
                wrong = any(fate) and "N1 came back, and is there as well"
            elif message in self.acked:
                wrong = fate != (True, True, True) and "N1 was acknowledged"
            elif fate[0] != fate[1] or (fate[2] and not fate[1]):
                wrong = "N4 is torn"
            else:
                wrong = message not in self.doubt and "N6 nobody told its sender"
            if wrong:
                yield f"{wrong}: {message} (sender's archive, recipient's archive, delivered: {fate})"
        for owner, message, uid in self.seen_ids:
            if (message, uid) not in self.archives[owner]:
                yield f"N1 {owner} saw {message} as {uid}, which is not in the archive"

    def sequences(self):
        for owner, rows in self.archives.items():
            yield from self.disorder(f"the archive of {owner}", [message for message, _ in rows])
        for device, streams in self.streams.items():
            for stream in streams:
                for message, count in collections.Counter(stream).items():
                    if count > 1:
                        yield f"N1 {device} got {message} {count} times on one stream"
            first = dict.fromkeys(message for stream in streams for message in stream)
            yield from self.disorder(device, [message for message in first if (device, message) not in self.late])

    def disorder(self, where, messages):
        places = collections.defaultdict(list)
        for message in messages:
            if message in self.sent:
                place, device, to = self.sent[message]
                places[device, to].append(place)
        for (device, to), order in places.items():
            if order != sorted(order):
                yield f"N3 {where}: what {device} sent to {to} is out of order"

    def rosters(self):
        for (owner, contact), names in self.names.items():
            said = [place for place, (_, done) in enumerate(names) if done]
            if said and self.items.get((owner, contact)) not in [name for name, _ in names[said[-1]:]]:
                yield f"N5 {owner}: {contact} is {self.items.get((owner, contact))}, not {names[said[-1]][0]}"


def main(files):
    wrong = 0
    for file in files:
        with pathlib.Path(file).open(encoding="utf-8") as lines:
            for violation in History(lines).violations():
                wrong += 1
                print(f"{file}: {violation}")
    print(f"{len(files)} histories, {wrong} violations")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
