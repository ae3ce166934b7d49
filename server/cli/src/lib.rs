//! The command line of a server: what the binary `wirehub` and a program like it have in common.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wirehub_server::accept::Origin;
use wirehub_server::config::parse_time;
use wirehub_server::serve::Options;
use wirehub_server::{Builder, ErrorKind, ListenAddress};

mod bench;
mod client;
mod config;
mod connect;
mod health;
mod input;
mod operate;
mod output;
mod program;
mod token;

pub use self::bench::BenchOptions;
pub use self::client::{ClientCommand, ConnectOptions};
pub use self::config::ConfigCommand;
pub use self::connect::PlainOptions;
pub use self::health::HealthOptions;
pub use self::operate::{ApiCommand, ApiOptions};
pub use self::program::main;
pub use self::token::TokenOptions;

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeOptions {
    /// Run with this configuration: `wirehub config init` writes one to begin with. The options here go before it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where to listen: an IP address and a port (0 for any free one), or unix:PATH. 127.0.0.1:8080 without this.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<ListenAddress>,

    /// Serve the files of this directory, index.html first.
    #[arg(long = "static", value_name = "DIR")]
    pub static_files: Option<PathBuf>,

    /// Let pages of this origin connect, beside the server's own: `https://app.example`, `https://*.app.example` (all names
    /// below app.example), `http://localhost:*` (all ports), `chrome-extension://ID` or `*`. May be given more than once.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origins: Vec<Origin>,

    /// Let in who has no token. Where the configuration names no keys for tokens, that is everybody: whoever reaches the
    /// server may subscribe and publish everywhere.
    #[arg(long)]
    pub anonymous: bool,

    /// How long to go on for those who are connected when told to stop, while /ready and new clients are answered with 503:
    /// for load balancers to notice. 0s without this.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub drain_delay: Option<Duration>,
}

impl ServeOptions {
    /// Serves a hub until SIGINT or SIGTERM: see [`Options::serve`](wirehub_server::serve::Options::serve). Errors go to
    /// standard error. The exit code is 2 for a wrong command line or configuration, 1 for other failures.
    pub fn serve(self, hub: Builder) -> ExitCode {
        self.settings().serve(hub).unwrap_or_else(|error| {
            complain(&error);
            ExitCode::from(if matches!(error.kind(), ErrorKind::Usage | ErrorKind::Config) { 2 } else { 1 })
        })
    }

    fn settings(self) -> Options {
        let Self { config, listen, static_files, allow_origins, anonymous, drain_delay } = self;
        Options { config, listen, static_files, allow_origins, anonymous, drain_delay }
    }
}

/// For a program that can't go on.
fn complain(error: &impl fmt::Display) {
    note(&format_args!("error: {error}"));
}

/// Tells people, beside what the program writes for whoever reads its output. Where even standard error is gone, the
/// status has to do.
fn note(words: &(impl fmt::Display + ?Sized)) {
    let _ = writeln!(io::stderr(), "{}", output::harmless(words.to_string().trim_end()));
}

/// What runs a client: it has one thing to do.
fn runtime() -> Result<tokio::runtime::Runtime, client::Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the runtime ({error})").into())
}
