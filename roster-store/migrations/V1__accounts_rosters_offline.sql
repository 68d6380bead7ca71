-- Every table is owned by this room. Addresses are kept in their prepared form, so that equal ones are equal bytes.

-- What belongs to the store as a whole.
CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    jid TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL DEFAULT (unixepoch()),
    roster_version INTEGER NOT NULL DEFAULT 0, -- one per change, without gaps
    roster_bytes INTEGER NOT NULL DEFAULT 0,   -- of the addresses, names and groups of its listed items
    offline_count INTEGER NOT NULL DEFAULT 0,  -- of the rows in offline, and
    offline_bytes INTEGER NOT NULL DEFAULT 0   -- of their stanzas: keeping one need not count them
) STRICT;

-- SCRAM keys (RFC 5802 3), one row per mechanism.
CREATE TABLE credential (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    mechanism TEXT NOT NULL,
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    PRIMARY KEY (account, mechanism)
) STRICT, WITHOUT ROWID;

-- RFC 6121 2.1.2. The flags are 0 or 1.
CREATE TABLE roster (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    contact TEXT NOT NULL,
    name TEXT,
    sub_to INTEGER NOT NULL,
    sub_from INTEGER NOT NULL,
    pending_out INTEGER NOT NULL,
    pending_in INTEGER NOT NULL,
    approved INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    PRIMARY KEY (account, contact)
) STRICT, WITHOUT ROWID;

-- Who holds an item for a contact: asked when that contact's account is deleted.
CREATE INDEX roster_by_contact ON roster (contact);

CREATE TABLE roster_group (
    account INTEGER NOT NULL,
    contact TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account, contact, name),
    FOREIGN KEY (account, contact) REFERENCES roster ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The requests that wait for the owner's answer (RFC 6121 3.1.3), in the order of the roster versions they made.
CREATE TABLE request (
    account INTEGER NOT NULL,
    contact TEXT NOT NULL,
    version INTEGER NOT NULL,
    stanza BLOB NOT NULL,
    PRIMARY KEY (account, contact),
    FOREIGN KEY (account, contact) REFERENCES roster ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Messages for those who are not there (XEP-0160).
CREATE TABLE offline (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- in commit order, never used again
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    received INTEGER NOT NULL, -- microseconds since 1970
    stanza BLOB NOT NULL
) STRICT;

CREATE INDEX offline_by_account ON offline (account, id);

-- What sessions and caches of any process must no longer rely on; the last of each kind per address.
CREATE TABLE revocation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    what INTEGER NOT NULL, -- 0 password, 1 account, 2 subscriptions
    UNIQUE (account, what) ON CONFLICT REPLACE
) STRICT;
