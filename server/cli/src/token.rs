//! `wirehub token`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wirehub_common::ChannelName;
use wirehub_server::Pattern;
use wirehub_server::auth::{Authenticated, Rights};
use wirehub_server::config::{Config, parse_time};

use super::client::Failure;
use super::report_error;

/// The content of a token.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenOptions {
    /// The user. Without one the session is anonymous.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub user: String,

    /// How long the token is valid: 25s, 5m, 1h, 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time)]
    pub ttl: Duration,

    /// Grant the right to subscribe to these channels: chat:lobby, chat:* or *. Repeatable, like the next two.
    #[arg(long, value_name = "PATTERN")]
    pub subscribe: Vec<Pattern>,

    /// Grant the right to publish in these channels.
    #[arg(long, value_name = "PATTERN")]
    pub publish: Vec<Pattern>,

    /// Grant the right to see the presence of these channels.
    #[arg(long, value_name = "PATTERN")]
    pub presence: Vec<Pattern>,

    /// Have the server subscribe the session to this channel. Repeatable.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Vec<String>,

    /// Data of the session for everybody with access to presence: any JSON, such as '{"name":"Ann"}'.
    #[arg(long, value_name = "JSON")]
    pub info: Option<String>,

    /// The configuration with the secret, the issuer and the audience.
    #[arg(long, value_name = "FILE", default_value = "wirehub.toml")]
    pub config: PathBuf,
}

impl TokenOptions {
    /// Writes the token to standard output and returns the exit status.
    pub fn run(self) -> ExitCode {
        match self.token() {
            Ok(token) => {
                let _ = writeln!(io::stdout(), "{token}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                report_error(&error);
                ExitCode::from(2)
            }
        }
    }

    fn token(self) -> Result<String, Failure> {
        let Self { user, ttl, subscribe, publish, presence, channel, info, config } = self;
        let rights = Rights { subscribe, publish, presence };
        let channels: Result<Vec<_>, _> = channel.iter().map(|name| ChannelName::new(name)).collect();
        let channels = channels.map_err(|error| format!("--channel: {error}"))?;
        let mut identity =
            Authenticated::user(user).expires_in(ttl).with_rights(rights).with_channels(channels);
        if let Some(info) = info {
            let info: serde_json::Value =
                serde_json::from_str(&info).map_err(|error| format!("--info: {error}"))?;
            identity = identity.with_info(&info).map_err(|error| format!("--info: {error}"))?;
        }
        let signer = Config::load(&config)?.signer()?;
        Ok(signer.sign(&identity)?)
    }
}
