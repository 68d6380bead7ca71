//! Networks that fail, each from a seed, so that a failure found once is found again.
//!
//! [`FaultProxy`] stands between any client and server of TCP and spoils the bytes of each connection with a [`Toxic`]
//! each way. [`http`] knows where requests and responses begin and end, and spoils those: it loses every k-th response,
//! cuts connections before and after one, delays and reorders.

mod dice;
pub mod http;
mod proxy;
mod toxic;

pub use dice::Dice;
pub use proxy::FaultProxy;
pub use toxic::{Toxic, Toxics};
