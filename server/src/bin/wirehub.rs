//! The Wirehub server as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    wirehub_server::cli::main()
}
