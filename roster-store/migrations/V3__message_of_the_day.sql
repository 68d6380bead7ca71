-- XEP-0133 4.24: one at most.
CREATE TABLE motd (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    text TEXT NOT NULL,
    set_at INTEGER NOT NULL -- microseconds since 1970
) STRICT;
