//! Features that a user can name, one file per XEP family.
