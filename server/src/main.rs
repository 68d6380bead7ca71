//! The binary `stonechat`: parses the command line, calls the library, and turns an error into one line
//! and exit status 2.

use clap::Parser;
use server::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match server::main(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            server::report(&error);
            ExitCode::from(2)
        }
    }
}
