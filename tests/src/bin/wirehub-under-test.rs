//! The program `wirehub`, available to the tests here.

use std::process::ExitCode;

fn main() -> ExitCode {
    wirehub_cli::main()
}
