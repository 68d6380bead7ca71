//! Streams served to their end: in memory on a paused clock, under TLS, and over TCP.

mod domains;
mod register;
mod streams;
mod world;
