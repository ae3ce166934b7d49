//! The program `wirehub`.

use std::process::ExitCode;

/// jemalloc returns the memory of ended sessions to the system, in a thread of its own, and has less fragmentation. The
/// system's allocator keeps nearly all of it, because small cached pieces remain between the large ones.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    wirehub_cli::main()
}
