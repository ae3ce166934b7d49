//! The program `wirehub`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use wirehub_server::Hub;
use wirehub_server::namespace::Namespace;

use super::{
    ApiCommand, BenchOptions, ClientCommand, ConfigCommand, DataCommand, HealthOptions, PlainOptions,
    ServeOptions, TokenOptions, bench, connect,
};

/// Realtime messaging over WebSocket: clients subscribe to channels and publish in them.
#[derive(Debug, Parser)]
#[command(name = "wirehub", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server. It needs no configuration: a channel exists as soon as a client uses it.
    #[command(after_help = SERVE_NOTES)]
    Serve {
        #[command(flatten)]
        options: ServeOptions,

        /// Serve the demo: chat, charts, alarms, a canvas and a lab, with the page in this program. It keeps its messages in
        /// wirehub-demo, unless --engine or --data say otherwise.
        #[cfg(feature = "demo")]
        #[arg(long)]
        demo: bool,
    },
    /// Write a configuration to start with, or check one.
    #[command(subcommand, after_help = CONFIG_NOTES)]
    Config(ConfigCommand),
    /// Check, repair or back up the data of the disk engine.
    #[command(subcommand, after_help = DATA_NOTES)]
    Data(DataCommand),
    /// Make a token for a client, with the first secret in a configuration.
    #[command(after_help = TOKEN_NOTES)]
    Token(TokenOptions),
    /// Check whether a server is ready, for health checks of containers.
    #[command(after_help = HEALTH_NOTES)]
    Health(HealthOptions),
    /// Connect to any WebSocket server: sends lines of input, and prints messages.
    #[command(after_help = connect::NOTES)]
    Connect(PlainOptions),
    #[command(flatten)]
    Client(ClientCommand),
    #[command(flatten)]
    Api(ApiCommand),
    /// Put a load on a server and measure the latency of messages.
    #[command(after_help = bench::NOTES)]
    Bench(BenchOptions),
    /// Write the completion script for a shell.
    #[command(after_help = COMPLETIONS_NOTES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  wirehub serve                                       at http://127.0.0.1:8080
  wirehub serve --demo                                the demo, with its page in the program
  wirehub serve --static www/dist                     with a page beside it
  wirehub serve --listen unix:/run/wirehub.sock       behind a proxy on the same machine
  wirehub serve --listen 0.0.0.0:80 --anonymous       for everybody, without tokens
  wirehub config init                                 a configuration to start with: wirehub.toml
  wirehub serve --config wirehub.toml                 with tokens, history, limits
  wirehub token --user ann --ttl 1h                   a token for that server
  wirehub sub ws://127.0.0.1:8080/ws chat:lobby       publications, one per line
  wirehub pub ws://127.0.0.1:8080/ws chat:lobby '{\"text\":\"hi\"}'

Then, by hand, after wirehub connect --pong ws://127.0.0.1:8080/ws:
  {\"id\":1,\"connect\":{}}
  {\"id\":2,\"subscribe\":{\"channel\":\"chat:lobby\",\"number\":1}}
  {\"id\":3,\"publish\":{\"channel\":\"chat:lobby\",\"data\":{\"text\":\"hi\"}}}";

const DATA_NOTES: &str = "\
Examples:
  wirehub data check wirehub-data                     read everything, and report what is damaged
  wirehub data repair wirehub-data                    remove what can't be read
  wirehub data backup --to monday http://127.0.0.1:8080    copy the data of a running server";

const SERVE_NOTES: &str = "\
Examples:
  wirehub serve --listen 127.0.0.1:0                  on a free port, written to standard output
  wirehub serve --config wirehub.toml                 with the settings that `wirehub config init` explains
  wirehub serve --engine disk --data /var/lib/wirehub with history, keys and alarms on disk
  wirehub serve --engine redis --redis redis://10.0.0.9:6379
                                                      one of several servers on the same Redis
  wirehub serve --allow-origin https://app.example    for the pages of another origin
  wirehub serve --drain-delay 15s                     behind a load balancer that checks /ready every 5 s

Addresses:
  /ws      for Wirehub clients: subprotocol wirehub.v1.protobuf, or wirehub.v1.json (the default)
  /echo    returns every WebSocket message
  /health  200 while the server accepts connections
  /ready   200 while the server should get clients; 503 while it stops or is not ready yet

Environment:
  WIREHUB_LOG            the log on standard error: error, warn, info (the default), debug, trace
  WIREHUB_SECTION__KEY   overrides a key of the configuration: WIREHUB_LIMITS__CALLS=8

SIGINT and SIGTERM stop the server: after the drain delay, clients are notified when to reconnect, and queues are
flushed. From the signal on, /ready and new clients get status 503. A second signal stops the server at once.

On SIGHUP a server with --config reads its configuration again. Keys, limits, origins, proxies, webhooks, certificates
and the log level take effect at once; the log names changes that need a restart. If the file has a mistake, or a
setting that restricted access has disappeared, nothing changes.";

const CONFIG_NOTES: &str = "\
Examples:
  wirehub config init                                 writes wirehub.toml, which explains every setting
  wirehub config check && systemctl reload wirehub    reports every mistake at once";

const TOKEN_NOTES: &str = "\
Examples:
  wirehub token --user ann --ttl 8h                   with the first secret in wirehub.toml
  wirehub token --user bot --publish 'news:*' > bot.token
  wirehub sub --token-file bot.token ws://127.0.0.1:8080/ws news:today";

const HEALTH_NOTES: &str = "\
Examples:
  wirehub health                                      0 if the server at 127.0.0.1:8080 is ready, else 1 and the reason
  wirehub health unix:/run/wirehub/wirehub.sock";

const COMPLETIONS_NOTES: &str = "\
Examples:
  wirehub completions bash > ~/.local/share/bash-completion/completions/wirehub
  wirehub completions zsh > ~/.zfunc/_wirehub         with this in .zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit
  wirehub completions fish > ~/.config/fish/completions/wirehub.fish";

/// The whole program: parses the command line, runs the command and returns the exit status. Also for programs of
/// another name.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        #[cfg(feature = "demo")]
        Command::Serve { options, demo: true } => crate::demo::serve(options),
        Command::Serve { options, .. } => options.serve(Hub::builder().default_namespace(Namespace::open())),
        Command::Config(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Token(options) => options.run(),
        Command::Health(options) => options.run(),
        Command::Connect(options) => options.run(),
        Command::Client(command) => command.run(),
        Command::Api(command) => command.run(),
        Command::Bench(options) => options.run(),
        Command::Completions { shell } => complete(shell),
    }
}

fn complete(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "wirehub", &mut script);
    // A failure means that nobody reads the output.
    match io::stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:\n  "), "{}", command.get_name());
        for line in help.lines() {
            assert!(line.chars().count() <= 130, "{line}");
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn the_help_of_every_command_has_examples() {
        let program = Arguments::command();
        check(&program);
        program.debug_assert();
    }
}
