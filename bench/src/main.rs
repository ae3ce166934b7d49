//! What the server costs. See `bench/README.md` for what is measured, how, and what came of it.
//!
//! This program makes the load, on one core; each server under test is a process of its own, on another.
#![allow(clippy::print_stdout, reason = "its figures are what this program is for")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it reads what its own servers send, and a wrong figure is worse than an end"
)]

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
mod tls;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    run::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    println!("the benchmarks read /proc: run them on Linux");
    std::process::ExitCode::FAILURE
}
