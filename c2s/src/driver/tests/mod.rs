//! Streams served to their end: in memory on a paused clock, under TLS, and over TCP.

mod domains;
mod killed;
mod managed;
mod register;
mod restart;
mod schedules;
mod streams;
mod world;
