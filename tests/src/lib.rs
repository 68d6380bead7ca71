//! Plays any server should pass, real clients, hostile input, and the conformance suite for BOSH.
//!
//! A play is a script in the Scansion dialect under `plays/`, named for the section that it shows. The same file is
//! played through every door of [`server::script`]: in memory, over TCP with STARTTLS, over BOSH and over
//! WebSocket. What the RFCs leave open (a MAY,
//! an order) a play leaves open too where the dialect can say so, and else tells as this server does it.
//!
//! [`bosh`] drives any connection manager through every point of XEP-0124 and XEP-0206, down to the bytes of its HTTP
//! requests; the program `bosh-conformance` prints what came of it. [`bosh::loss`] has two people talk through the
//! broken networks of [`faults`]; the program is `bosh-loss`. [`slow`] has thousands of visitors dawdle; the program is
//! `slow-visitors`.
//!
//! [`crash`] kills a server again and again, breaks the network under its clients, and looks whether anything is missing that
//! it had acknowledged; the program is `crash`.

pub mod bosh;
pub mod crash;
pub mod faults;
pub mod plays;
pub mod slow;
