//! For tests: places where the process can be made to die, and faults that can be made to happen. In the product they are
//! nothing.
//!
//! A [`site!`] is a place in the code with a name. Where the environment says `STONECHAT_DIES_AT=NAME:VISIT`, the process dies
//! when it comes by for the so-manieth time, as by SIGKILL: no destructor runs and nothing is flushed. What is
//! [`planted!`] is a fault with a name, that is there where the environment says `STONECHAT_FAULT=NAME`: so that it can be shown
//! that tests find it.
//!
//! Both say their name once, where they stand, and nowhere else; who needs all names reads the sources. Without the feature `armed`
//! a site is no code at all and a fault the constant `false`. The feature is for one program, the example `mortal` of `server`;
//! the program that people run cannot be built with it.

/// Whether this is a program for tests, in which what is rare comes more often.
pub const ARMED: bool = cfg!(feature = "armed");

#[cfg(feature = "armed")]
mod armed;
#[cfg(feature = "armed")]
pub use armed::{is_planted, visit};

/// A place where the process can be made to die.
#[cfg(not(feature = "armed"))]
#[macro_export]
macro_rules! site {
    ($name:literal) => {};
}

/// Whether this fault is to happen: never.
#[cfg(not(feature = "armed"))]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

/// A place where the process can be made to die.
#[cfg(feature = "armed")]
#[macro_export]
macro_rules! site {
    ($name:literal) => {
        $crate::visit($name)
    };
}

/// Whether this fault is to happen.
#[cfg(feature = "armed")]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::is_planted($name)
    };
}
