//! The program `wirehub`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{ClientCommand, ConfigCommand, PlainOptions, ServeOptions, TokenOptions, connect};
use crate::Hub;

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
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make a token for a client, by the first secret in a configuration.
    Token(TokenOptions),
    /// Open a WebSocket to any server: lines in, messages out.
    #[command(after_help = connect::NOTES)]
    Connect(PlainOptions),
    #[command(flatten)]
    Client(ClientCommand),
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
Addresses:
  /ws      speaks Wirehub: subprotocol wirehub.v1.protobuf, or wirehub.v1.json (also where none is named)
  /echo    sends every WebSocket message back
  /health  200 while connections are taken

Environment:
  WIREHUB_LOG            what to log to standard error: error, warn, info (the default), debug, trace
  WIREHUB_SECTION__KEY   takes the place of a key in the configuration, as WIREHUB_LIMITS__CALLS=8

SIGINT and SIGTERM stop the server: clients are told when to come back, and queues are flushed. A second one stops
it at once.";

/// The whole program: reads the command line, does what it says, and gives the process's status. For a program of another
/// name that is the same.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(options) => options.serve(Hub::builder()),
        Command::Config(command) => command.run(),
        Command::Token(options) => options.run(),
        Command::Connect(options) => options.run(),
        Command::Client(command) => command.run(),
    }
}
