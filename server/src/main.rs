//! The binary `stonechat`: parses the command line, calls the library, and turns an error into one line
//! and exit status 2.

use server::cli::Cli;
use std::process::ExitCode;

#[cfg(feature = "faults")]
compile_error!(
    "what dies and fails on purpose is the example `mortal`, not the program that people run"
);

fn main() -> ExitCode {
    match Cli::read(std::env::args_os()).and_then(server::main) {
        Ok(status) => status,
        Err(error) => {
            server::report(&error);
            ExitCode::from(2)
        }
    }
}
