//! A load generator of real client connections, and the same work for Stonechat, Prosody and ejabberd.
//!
//! - [`client`]: logged-in clients over TCP, TLS, WebSocket and BOSH, thousands in one process, that scan what comes in.
//! - [`load`]: pieces of work for them, such as [`chat`](load::chat::chat), measured while they last.
//! - [`process`]: what the server's processes use meanwhile.
//! - [`servers`]: each server with a private configuration, accounts and rosters, on loopback.
//! - [`work`]: all that is measured, and what came of it when the goals were set; [`compare`]: one after the other,
//!   server by server; [`report`]: the table, the file for machines and the plots.
//! - [`growth`]: what becomes of the figures as there are more sessions, or contacts.
//! - [`floor`]: what a machine needs at least, to forward the same bytes unread.
//!
//! What one client does for itself, to measure something else with it:
//!
//! ```no_run
//! # async fn example(target: &bench::client::Target) -> anyhow::Result<()> {
//! use bench::client::{Client, Door};
//! let mut juliet = Client::login(target, Door::Tls, "u00001", "balcony").await?;
//! juliet.available().await?;
//! juliet.put(b"<message to='u00000@localhost'><body>ay me</body></message>");
//! juliet.flush().await?;
//! juliet.read().await?; // more is in `juliet.inbox`
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod compare;
pub mod floor;
pub mod growth;
pub mod load;
pub mod process;
pub mod report;
pub mod scan;
pub mod servers;
pub mod work;
