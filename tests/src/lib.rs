//! Plays any server should pass, real clients, hostile input.
