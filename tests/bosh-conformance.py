"""Puts the runs of the conformance suite side by side, as the page bosh-cm/CONFORMANCE.md."""

import collections
import datetime
import pathlib
import subprocess
import sys

MANAGERS = {
    "stonechat": "Stonechat",
    "bosh-cm-prosody": "bosh-cm, Prosody behind it",
    "bosh-cm-ejabberd": "bosh-cm, ejabberd behind it",
    "prosody": "Prosody",
    "ejabberd": "ejabberd",
}
LEVELS = {"MUST": "MUST", "SHOULD": "SHOULD", "MAY": "MAY", "defined": "defined without a keyword",
          "browsers": "what browsers and the network need"}
MARKS = {"pass": "pass", "fail": "**fail**", "not offered": "–", "not measured": "·"}

Row = collections.namedtuple("Row", "number clause level rule verdict why")


def version(package):
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return query.stdout or "?"


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def main(folder):
    runs = {}
    for name in MANAGERS:
        lines = (folder / f"{name}.tsv").read_text().splitlines()
        runs[name] = [Row(*line.split("\t")) for line in lines]
    today = datetime.date.today().isoformat()
    print(f"""# BOSH, measured

Every rule of XEP-0124 and XEP-0206, and what browsers need besides, tried from outside over raw HTTP. The suite is
`tests/src/bosh`; this page is written by

    tests/bosh-conformance

and holds nothing but what was measured, last on {today}: Stonechat and bosh-cm of this tree, Prosody {version("prosody")}
and ejabberd {version("ejabberd")} as Debian packages them, all on loopback; Stonechat and bosh-cm with
compression and two requests held, neither of which is their default. Any other manager is measured with

    cargo run -p tests --bin bosh-conformance -- http://HOST:PORT/http-bind --user JID:PASSWORD --user JID:PASSWORD

*fail*: the rule does not hold; – : not offered, and need not be; · : cannot be seen in this setting.
""")
    print("| | " + " | ".join(MANAGERS.values()) + " |\n" + "|---" * (1 + len(MANAGERS)) + "|")
    for level, meaning in LEVELS.items():
        counts = []
        for rows in runs.values():
            count = collections.Counter(row.verdict for row in rows if row.level == level)
            counts.append(f"{count['pass']} pass, {count['fail']} fail, {count['not offered']} –")
        print(f"| {meaning} | " + " | ".join(counts) + " |")
    print("\n| No. | Section | Level | Rule | " + " | ".join(MANAGERS.values()) + " |")
    print("|---" * (4 + len(MANAGERS)) + "|")
    for rows in zip(*runs.values(), strict=True):
        first = rows[0]
        marks = " | ".join(MARKS[row.verdict] for row in rows)
        print(f"| {first.number} | {first.clause} | {first.level} | {cell(first.rule)} | {marks} |")
    for name, rows in runs.items():
        print(f"\n## {MANAGERS[name]}\n")
        failed = [row for row in rows if row.verdict == "fail"]
        for row in failed:
            print(f"- {row.number} ({row.level}) {cell(row.rule)}: {cell(row.why)}")
        if not failed:
            print("Nothing fails.")


main(pathlib.Path(sys.argv[1]))
