//! The demo page's server as a program.

use std::process::ExitCode;

use clap::Parser;
use wirehub_cli::ServeOptions;

/// The server of Wirehub's demo page: chat rooms, an echo and a clock.
#[derive(Debug, Parser)]
#[command(name = "wirehub-demo", version, after_help = "Build the page and start it: cargo xtask demo")]
struct Arguments {
    #[command(flatten)]
    serve: ServeOptions,
}

fn main() -> ExitCode {
    Arguments::parse().serve.serve(wirehub_demo::builder())
}
