//! The `doorstep` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorstep_server::cli::main()
}
