//! The cost of the server. `bench/README.md` describes the measurements and the results.
//!
//! This program produces the load, on one core; each server under test is a process of its own, on another.
#![allow(clippy::print_stdout, reason = "its figures are the purpose of this program")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it reads its own servers' messages, and a wrong figure is worse than a panic"
)]

#[cfg(target_os = "linux")]
mod engines;
#[cfg(target_os = "linux")]
mod loads;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod tls;
#[cfg(target_os = "linux")]
mod wire;

/// The allocator of the program `wirehub`, so that the figures are those of its engines. With the system's one the writer of
/// the disk engine stands still for a tenth of a second at a time, while another thread frees a part of the storage.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    run::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    println!("the benchmarks read /proc: run them on Linux");
    std::process::ExitCode::FAILURE
}
