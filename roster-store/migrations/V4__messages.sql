-- Messages: what the archives hold (XEP-0313) and what waits for a client (XEP-0160), in one table, so that each has one owner.
--
-- A message's id is `account << 32 | number`: an account's messages lie together and in order, in a table of its own kind of
-- tree (keys inside, rows in the leaves), and a number never repeats in an account. There is no index: who asks for a contact
-- or a time is served by what is noted of each 64 messages (`block`, `correspondence`) once the 64 are complete.

CREATE TABLE message (
    id INTEGER PRIMARY KEY,    -- account << 32 | number
    salt INTEGER NOT NULL,     -- with the number, what clients see
    received INTEGER NOT NULL, -- microseconds since 1970
    peer TEXT,                 -- the other end; NULL where it is not in the archive
    stanza BLOB NOT NULL
) STRICT;

-- Those that no client has acknowledged or fetched. Apart from the messages: that one of them arrived is told by taking away a few
-- bytes here, while the message stays as it was written.
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, -- the message's
    bytes INTEGER           -- of its stanza, where it is kept for this only; NULL where it is in the archive
) STRICT;

-- What is known of 64 numbers of an account, once later ones are in use.
CREATE TABLE block (
    id INTEGER PRIMARY KEY,       -- a message's >> 6
    first_at INTEGER NOT NULL,    -- the earliest and
    last_at INTEGER NOT NULL,     -- the latest of those in the archive
    members INTEGER NOT NULL      -- which numbers are in the archive: bit number & 63
) STRICT;

-- The same for one contact.
CREATE TABLE correspondence (
    account INTEGER NOT NULL,
    peer TEXT NOT NULL,      -- a bare address
    block INTEGER NOT NULL,  -- its id
    members INTEGER NOT NULL,
    PRIMARY KEY (account, peer, block)
) STRICT, WITHOUT ROWID;

-- XEP-0359: what was put within the last day and may be sent again by clients that do not know it.
CREATE TABLE origin (
    id INTEGER PRIMARY KEY, -- when it was put, in microseconds since 1970, made unique
    key INTEGER NOT NULL    -- the beginning of a digest of sender, recipient and content
) STRICT;

-- XEP-0441: what an account wants archived, where it has said so.
CREATE TABLE archive_default (
    account INTEGER NOT NULL PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    policy INTEGER NOT NULL -- 0 always, 1 roster, 2 never
) STRICT;

CREATE TABLE archive_rule (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    archive INTEGER NOT NULL, -- 1 always, 0 never
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

-- XEP-0198: which stanzas of streams that may be resumed were put, beyond those that count as handled.
CREATE TABLE heard (
    id INTEGER PRIMARY KEY, -- stream << 32 | number
    mark INTEGER NOT NULL   -- tells it from another stanza of that number
) STRICT;

INSERT INTO message
    SELECT account << 32 | row_number() OVER (PARTITION BY account ORDER BY id), random(), received, NULL, stanza
    FROM offline;
INSERT INTO pending SELECT id, length(stanza) FROM message;
DROP TABLE offline;

-- No number up to this one is given again.
INSERT INTO counter SELECT 'last_message', coalesce(max(id & 0xffffffff), 0) FROM message;

-- Commits of no importance: they write over what a failed commit has left in the log.
INSERT INTO counter VALUES ('trials', 0);
