//! The program `wirehub`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use wirehub_server::Hub;
use wirehub_server::namespace::Namespace;

use super::{
    ApiCommand, BenchOptions, ClientCommand, ConfigCommand, HealthOptions, PlainOptions, ServeOptions,
    TokenOptions, bench, connect,
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
    /// Run a server. It needs no configuration: every channel exists as soon as somebody uses it.
    #[command(after_help = SERVE_NOTES)]
    Serve(ServeOptions),
    /// Write a configuration to begin with, or say whether one is right.
    #[command(subcommand, after_help = CONFIG_NOTES)]
    Config(ConfigCommand),
    /// Make a token for a client, by the first secret in a configuration.
    #[command(after_help = TOKEN_NOTES)]
    Token(TokenOptions),
    /// Say whether a server is ready, for health checks of containers.
    #[command(after_help = HEALTH_NOTES)]
    Health(HealthOptions),
    /// Open a WebSocket to any server: lines in, messages out.
    #[command(after_help = connect::NOTES)]
    Connect(PlainOptions),
    #[command(flatten)]
    Client(ClientCommand),
    #[command(flatten)]
    Api(ApiCommand),
    /// Put a load on a server, and measure how fast messages arrive.
    #[command(after_help = bench::NOTES)]
    Bench(BenchOptions),
    /// Write what makes a shell complete this program's commands and options.
    #[command(after_help = COMPLETIONS_NOTES)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  wirehub serve                                       at http://127.0.0.1:8080
  wirehub serve --static www/dist                     with a page beside it
  wirehub serve --listen unix:/run/wirehub.sock       behind a proxy on the same machine
  wirehub serve --listen 0.0.0.0:80 --anonymous       for everybody
  wirehub config init                                 a configuration to begin with: wirehub.toml
  wirehub serve --config wirehub.toml                 with tokens, history, limits
  wirehub token --user ann --ttl 1h                   a token for that server
  wirehub sub ws://127.0.0.1:8080/ws chat:lobby       what is published, a line each
  wirehub pub ws://127.0.0.1:8080/ws chat:lobby '{\"text\":\"hi\"}'

Then, by hand, after wirehub connect --pong ws://127.0.0.1:8080/ws:
  {\"id\":1,\"connect\":{}}
  {\"id\":2,\"subscribe\":{\"channel\":\"chat:lobby\",\"number\":1}}
  {\"id\":3,\"publish\":{\"channel\":\"chat:lobby\",\"data\":{\"text\":\"hi\"}}}";

const SERVE_NOTES: &str = "\
Examples:
  wirehub serve --listen 127.0.0.1:0                  at a free port, which is written to standard output
  wirehub serve --config wirehub.toml                 with all that `wirehub config init` explains
  wirehub serve --allow-origin https://app.example    for the pages of another origin
  wirehub serve --drain-delay 15s                     behind a load balancer that asks /ready every 5 s

Addresses:
  /ws      speaks Wirehub: subprotocol wirehub.v1.protobuf, or wirehub.v1.json (also where none is named)
  /echo    sends every WebSocket message back
  /health  200 while connections are taken
  /ready   200 while clients should be sent here: 503 while the server stops, or waits for something it needs

Environment:
  WIREHUB_LOG            what to log to standard error: error, warn, info (the default), debug, trace
  WIREHUB_SECTION__KEY   takes the place of a key in the configuration, as WIREHUB_LIMITS__CALLS=8

SIGINT and SIGTERM stop the server: when the drain delay has passed, clients are told when to come back, and queues are
flushed. From the signal to the end /ready and new clients are answered with 503. A second signal stops it at once.

SIGHUP makes a server with --config read its configuration again: keys, limits, origins, proxies, webhooks, certificates
and the log's level change; the log names what takes a restart. Where anything in it is wrong, or what kept others out is
not in it any more, all stays as it was.";

const CONFIG_NOTES: &str = "\
Examples:
  wirehub config init                                 writes wirehub.toml, in which everything is explained
  wirehub config check && systemctl reload wirehub    tells all mistakes at once";

const TOKEN_NOTES: &str = "\
Examples:
  wirehub token --user ann --ttl 8h                   by the first secret in wirehub.toml
  wirehub token --user bot --publish 'news:*' > bot.token
  wirehub sub --token-file bot.token ws://127.0.0.1:8080/ws news:today";

const HEALTH_NOTES: &str = "\
Examples:
  wirehub health                                      0 if the server at 127.0.0.1:8080 is ready, else 1 and why
  wirehub health unix:/run/wirehub/wirehub.sock";

const COMPLETIONS_NOTES: &str = "\
Examples:
  wirehub completions bash > ~/.local/share/bash-completion/completions/wirehub
  wirehub completions zsh > ~/.zfunc/_wirehub         where .zshrc has: fpath+=~/.zfunc; autoload -Uz compinit; compinit
  wirehub completions fish > ~/.config/fish/completions/wirehub.fish";

/// The whole program: reads the command line, does what it says, and gives the process's status. For a program of another
/// name that is the same.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(options) => options.serve(Hub::builder().default_namespace(Namespace::open())),
        Command::Config(command) => command.run(),
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
    // Nobody reads it where that fails.
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
