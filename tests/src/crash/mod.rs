//! Kills a server in the middle of its work, again and again, breaks the network under its clients, and looks whether anything
//! is missing that it had acknowledged.
//!
//! A run ([`run`](run())) has people chat over TCP, BOSH and WebSocket (`player`), kills the server, the connection manager in front
//! of it, or both, starts them again, lets everybody resume or log in, and asks for all archives and rosters (`stock`). In
//! between may be a network that fails (`network`), or a disk ([`Disk`]), and the server may die by itself, at named places in its
//! code ([`doom`]). What they did and saw is a history ([`history`]), and what must hold of it is checked twice, here ([`check`])
//! and in `tests/crash.py`. That a fault would be found is tried out ([`planted`]). A seed decides what is left to chance, but
//! for the order in which the operating system lets things happen.

pub mod check;
pub mod device;
pub mod doom;
pub mod history;
mod manager;
mod network;
pub mod planted;
mod player;
mod process;
mod run;
mod stock;
pub mod stream;
pub mod subject;
mod world;

pub use run::{Ailment, Disk, Outcome, Plan, accounts, run};
