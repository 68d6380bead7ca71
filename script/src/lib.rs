#![doc = include_str!("../README.md")]
//!
//! ## In Rust
//!
//! [`Script::parse`] reads a script and [`play`] puts it on. The crate is pure: a [`Stage`] gives each character its
//! [`Connection`], whatever that is made of, and [`Client`] is the way from there to a session, without input or output.

mod account;
mod client;
mod connection;
mod diff;
mod failure;
mod log;
mod matching;
mod parse;
mod player;
mod pretty;
mod template;
mod wire;

pub use account::{register, unregister};
pub use client::{Client, ClientError, Login, Request};
pub use connection::{Channel, Connection, Lost, Stage};
pub use diff::{Line, Mark, diff};
pub use failure::{Cause, Failure};
pub use log::{Direction, Logged, Told};
pub use matching::{Captures, Mismatch, matches};
pub use parse::{Action, Block, Character, ParseError, Script, Tag, Verb};
pub use player::{Rules, play};
pub use pretty::pretty;
pub use wire::{FOOTER, Incoming, Reader, header, standalone};

/// The namespace of `scansion:strict`.
pub const NAMESPACE: &str = "https://matthewwild.co.uk/projects/scansion";
