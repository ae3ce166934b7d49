//! The Wirehub server as a program.

use std::process::ExitCode;

/// Gives back what sessions had that have left, by a thread of its own, and wastes less between them. The system's keeps
/// nearly all of it: small pieces that it puts by for whoever wants one next stand between the large ones.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    wirehub_cli::main()
}
