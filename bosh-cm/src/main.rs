//! The program `bosh-cm`.
fn main() {}
