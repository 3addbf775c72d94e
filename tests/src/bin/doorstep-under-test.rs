//! The `doorstep` command line, built with this crate so that tests that need a process run what they were built with.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorstep_server::cli::main()
}
