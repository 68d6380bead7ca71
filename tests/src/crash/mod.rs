//! Kills a server in the middle of its work, again and again, and looks whether anything is missing that it had
//! acknowledged.
//!
//! A run ([`run`]) has people chat over TCP, BOSH and WebSocket with stream management, kills the server, starts it again,
//! lets everybody resume or log in, and asks for all archives and rosters. What they did and saw is a history
//! ([`history`]), and what must hold of it is checked twice, here ([`check`]) and in `tests/crash.py`. A seed decides
//! what is left to chance, but for the order in which the operating system lets things happen.

pub mod check;
pub mod device;
pub mod history;
mod run;
pub mod stream;
pub mod subject;

pub use run::{Outcome, Plan, accounts, run};
