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
        self.seen_ids, self.asked, self.are = set(), collections.defaultdict(lambda: [["", False]]), {}
        self.halves, self.taken, self.archiving, self.wrong = set(), set(), True, []
        self.copies = collections.defaultdict(list)
        self.lives, self.live, self.before = 0, collections.defaultdict(set), 0
        self.begun = collections.defaultdict(int)
        self.resuming, self.by_resumption, self.lasting = set(), set(), False
        for line in lines:
            _, kind, *fields = line.rstrip("\n").split("\t")
            getattr(self, f"on_{kind}")(*fields)

    def on_stream(self, device, how):
        if how == "new":
            self.begun[device] = self.lives
            self.streams[device].append([])
            self.resuming.discard(device)
        else:
            self.resuming.add(device)

    def on_failed(self, device):
        if self.lasting:
            self.wrong.append(f"XEP-0198 {device} could not resume its stream")

    def on_sent(self, message, device, to):
        assert message not in self.sent, f"{message} is used twice"
        self.sent[message] = (len(self.sent), device, to)
        self.resuming.discard(device)

    def on_acked(self, message):
        if message not in self.acked and self.sent[message][1] in self.resuming:
            self.by_resumption.add(message)  # errors that were lost come after `<resumed/>`
        self.acked.add(message)

    def on_refused(self, message, _condition):
        if not message:
            return  # others send errors that do not say for what
        self.resuming.discard(self.sent[message][1])
        first = message not in self.refused
        self.refused.add(message)
        if first and message in self.acked and message not in self.by_resumption:
            self.wrong.append(f"N6 {message} was acknowledged, and came back later")

    def on_doubt(self, message):
        self.doubt.add(message)

    def on_received(self, message, device, uid, way):
        if way == "delayed":
            self.late.add((device, message))
        else:
            self.live[device, len(self.streams[device]), self.lives].add(message)
        if (device, message) in self.taken:
            self.wrong.append(f"N1 {device} had taken {message}, and got it once more")
        self.streams[device][-1].append(message)
        self.resuming.discard(device)
        if uid:
            self.seen_ids.add((bare(device), message, uid))

    def on_copied(self, message, device, uid):
        self.streams[device][-1].append(message)
        self.copies[device].append(message)
        if self.begun[device] == self.lives or message not in self.sent or self.sent[message][0] >= self.before:  # whom else it had to copy what was sent before a kill is not known
            self.live[device, len(self.streams[device]), self.lives].add(message)
        if uid:
            self.seen_ids.add((bare(device), message, uid))

    def on_taken(self, message, device):
        self.taken.add((device, message))

    def on_asked(self, owner, subject, value):
        self.asked[owner, subject].append([value, False])

    def on_done(self, owner, subject, value):
        next(entry for entry in reversed(self.asked[owner, subject]) if entry[0] == value)[1] = True

    def on_killed(self, what):
        if what == "server":  # what it had not come to note is not held against it, nor what it had for whom
            self.taken.clear()
            self.lives += 1
            self.before = len(self.sent)

    def on_ready(self, _milliseconds, what):
        self.on_killed(what)  # until then the one before was heard

    def on_healed(self):
        pass

    def on_settled(self, milliseconds):
        if int(milliseconds) > 30_000:
            self.wrong.append(f"N6 only after {milliseconds} ms all was there")

    def on_unarchived(self):
        self.archiving = False

    def on_lasting(self):
        self.lasting = True

    def on_archived(self, owner, message, uid):
        self.archives[owner].append((message, uid))

    def on_is(self, owner, subject, value):
        self.are[owner, subject] = value

    def on_left(self, owner, message):
        if any(one == message and bare(device) == owner for device, one in self.taken):
            self.wrong.append(f"N1 {message} waits for {owner}, of whose devices one had taken it")

    def on_half(self, owner, contact, half):
        self.halves.add((owner, half, contact))

    def violations(self):
        yield from self.wrong
        yield from self.fates()
        yield from self.sequences()
        yield from self.truths()
        yield from self.gaps()

    def fates(self):
        rows = collections.Counter((owner, message) for owner, all_ in self.archives.items() for message, _ in all_)
        got = {(bare(device), m) for device, streams in self.streams.items() for stream in streams for m in stream}
        copied = {message for messages in self.copies.values() for message in messages}
        got -= {(bare(device), message) for device, messages in self.copies.items() for message in messages}
        for device, messages in self.copies.items():
            for message in messages:
                if bare(self.sent[message][1]) != bare(device) or self.sent[message][1] == device:
                    yield f"N1 {device} got a copy of {message}, which {self.sent[message][1]} sent"
        for (owner, message), count in rows.items():
            if count > 1:
                yield f"N2 {message} is {count} times in the archive of {owner}"
            _, device, to = self.sent.get(message, (0, "nobody", "nobody"))
            if owner not in (bare(device), to):
                yield f"N2 {message} in the archive of {owner} is from {device} to {to}"
        for account, message in got:
            if message not in self.sent or self.sent[message][2] != account:
                yield f"N1 {account} got {message}, and it is not for them"
        for message, (_, device, to) in self.sent.items():
            fate = (rows[bare(device), message] > 0, rows[to, message] > 0, (to, message) in got)
            if message in self.refused:
                wrong = (any(fate) or message in copied) and "N1 came back, and is there as well"
            elif message in self.acked:
                wrong = not (all(fate) if self.archiving else fate[2]) and "N1 was acknowledged"
            elif fate[0] != fate[1] or ((fate[2] or message in copied) and not fate[1] and self.archiving):
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
            live = [m for m in dict.fromkeys(m for stream in streams for m in stream) if (device, m) not in self.late]
            own = set(self.copies[device])
            yield from self.disorder(device, [message for message in live if message not in own])
            rows = [message for message, _ in self.archives[bare(device)]]
            if [m for m in rows if m in set(live)] != [m for m in live if m in set(rows)]:
                yield f"N3 {device} got messages in another order than its archive has them"

    def gaps(self):
        for (device, stream, _), live in self.live.items():
            copies = set(self.copies[device])
            rows = [message for message, _ in self.archives[bare(device)] if message in self.sent]
            came = [message for message in rows if self.sent[message][2] == bare(device)]
            went = [m for m in rows if m not in set(came) and self.sent[m][1] != device]
            for due, there in ((came, live - copies), (went, live & copies)):
                places = [place for place, message in enumerate(due) if message in there]
                span = due[places[0] : places[-1]] if places else []
                if lacking := set(span) - set(self.streams[device][stream - 1]):
                    yield f"N1 {device} got what came before and after {sorted(lacking)} and not that"

    def disorder(self, where, messages):
        places = collections.defaultdict(list)
        for message in messages:
            if message in self.sent:
                place, device, to = self.sent[message]
                places[device, to].append(place)
        for (device, to), order in places.items():
            if order != sorted(order):
                yield f"N3 {where}: what {device} sent to {to} is out of order"

    def truths(self):
        for owner, subject in self.asked.keys() | self.are.keys():
            values = self.asked.get((owner, subject), [])
            said = max((place for place, (_, done) in enumerate(values) if done), default=0)
            if self.are.get((owner, subject), "") not in [value for value, _ in values[said:]]:
                yield f"N5 {owner}: {subject} is {self.are.get((owner, subject))}, not one of {values[said:]}"
        other = {"to": "from", "from": "to", "ask": "asked", "asked": "ask"}
        for owner, half, contact in self.halves:
            if (contact, other[half], owner) not in self.halves:
                yield f"N4 {owner} has {half} of {contact}, and the other half is missing"


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
