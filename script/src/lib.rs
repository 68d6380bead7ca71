//! The Scansion dialect: parser and player.
