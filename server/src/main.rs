//! The binary `stonechat`.
fn main() {}
