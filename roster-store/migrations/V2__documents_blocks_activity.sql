-- A second step and not a change to the first: databases of the demonstration are about, and open as before.

-- Numbers of the store as a whole.
CREATE TABLE counter (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where the roster versions of the next account begin: after those of every account that was deleted, so that no address has
-- one version twice (RFC 6121 2.6).
INSERT INTO counter VALUES ('first_roster_version', 0);

-- XEP-0049, XEP-0054
CREATE TABLE document (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    kind INTEGER NOT NULL, -- 0 private, 1 vCard
    ns TEXT NOT NULL,      -- '' for a vCard, as its name
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (account, kind, ns, name)
) STRICT; -- with rowids, which suit large rows

-- XEP-0191
CREATE TABLE blocked (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

-- XEP-0012: microseconds since 1970, and the last status.
CREATE TABLE activity (
    account INTEGER NOT NULL PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    left_at INTEGER NOT NULL,
    status TEXT
) STRICT;
