//! `stonechat` for tests: it dies at named places and has faults planted in it, where the environment asks for that (see the crate
//! `faults`). `tests/crash` kills it there and looks whether anything is lost.

use server::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::read(std::env::args_os()).and_then(server::main) {
        Ok(status) => status,
        Err(error) => {
            server::report(&error);
            ExitCode::from(2)
        }
    }
}
