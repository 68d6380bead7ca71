//! What roster sets, subscription stanzas and deletions do, once for both backends.
