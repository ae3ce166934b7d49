//! The program `wirehub`, in reach of the tests here.

use std::process::ExitCode;

fn main() -> ExitCode {
    wirehub_cli::main()
}
