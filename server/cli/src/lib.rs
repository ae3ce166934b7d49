//! The command line of a server, shared by the program `wirehub` and similar programs.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wirehub_server::accept::Origin;
use wirehub_server::config::{EngineKind, RedisUrl, parse_time};
use wirehub_server::serve::{Extension, Options};
use wirehub_server::{Builder, ErrorKind, ListenAddress};

mod bench;
mod client;
mod config;
mod connect;
mod data;
#[cfg(feature = "demo")]
mod demo;
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
pub use self::data::{BackupOptions, DataCommand};
pub use self::health::HealthOptions;
pub use self::operate::{ApiCommand, ApiOptions};
pub use self::program::main;
pub use self::token::TokenOptions;

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeOptions {
    /// Use this configuration; `wirehub config init` writes one to start with. The options here override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Listen on this address: an IP address and a port (0 for any free one), or unix:PATH. Default: 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<ListenAddress>,

    /// Serve the files of this directory, index.html first.
    #[arg(long = "static", value_name = "DIR")]
    pub static_files: Option<PathBuf>,

    /// Allow pages of this origin, in addition to the server's own: `https://app.example`, `https://*.app.example`
    /// (every name below app.example), `http://localhost:*` (every port), `chrome-extension://ID` or `*`. Repeatable.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origins: Vec<Origin>,

    /// Admit clients without a token. If the configuration has no keys for tokens, that is every client: everybody who
    /// reaches the server may subscribe and publish in all channels.
    #[arg(long)]
    pub anonymous: bool,

    /// Keep history, idempotency keys and alarms by this engine: memory (lost with the process), disk, or redis (for several
    /// servers). Default: memory.
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<EngineKind>,

    /// Keep the data of the disk engine in this directory. Default: wirehub-data.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Keep the data of the redis engine in this server: redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix:///PATH. Others on
    /// this machine can read the command line: a password belongs into the configuration or into `WIREHUB_REDIS__URL`.
    #[arg(long, value_name = "URL")]
    pub redis: Option<RedisUrl>,

    /// Keep serving connected clients for this long after a stop signal, while /ready and new clients get status 503.
    /// So load balancers have time to notice. Default: 0s.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub drain_delay: Option<Duration>,
}

impl ServeOptions {
    /// Serves a hub until SIGINT or SIGTERM: see [`Options::serve`](wirehub_server::serve::Options::serve). Errors go
    /// to standard error. The exit code is 2 for an invalid command line or configuration, and 1 for other failures.
    pub fn serve(self, hub: Builder) -> ExitCode {
        exit_code(self.settings().serve(hub))
    }

    /// Like [`Self::serve`], with a part of the program's own.
    pub fn serve_with(self, hub: Builder, extension: impl Extension) -> ExitCode {
        exit_code(self.settings().serve_with(hub, extension))
    }

    fn settings(self) -> Options {
        let Self { config, listen, static_files, allow_origins, anonymous, engine, data, redis, drain_delay } =
            self;
        Options { config, listen, static_files, allow_origins, anonymous, engine, data, redis, drain_delay }
    }
}

/// The exit code of a server that has ended. Reports an error.
fn exit_code(ended: Result<ExitCode, wirehub_server::Error>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        report_error(&error);
        ExitCode::from(if matches!(error.kind(), ErrorKind::Usage | ErrorKind::Config) { 2 } else { 1 })
    })
}

/// Reports an error that ends the program.
fn report_error(error: &impl fmt::Display) {
    note(&format_args!("error: {error}"));
}

/// Writes a message for people to standard error, apart from the program's output. If that fails, only the exit status remains.
fn note(words: &(impl fmt::Display + ?Sized)) {
    let _ = writeln!(io::stderr(), "{}", output::harmless(words.to_string().trim_end()));
}

/// The runtime of a client. One thread is enough.
fn runtime() -> Result<tokio::runtime::Runtime, client::Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the runtime ({error})").into())
}
