//! `wirehub config`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wirehub_server::config::{Config, TEMPLATE};

use super::client::Failure;
use super::report_error;

/// The subcommands for configurations.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration that explains every setting. An existing file is not overwritten.
    #[command(after_help = "Examples:\n  wirehub config init\n  wirehub config init - | less")]
    Init {
        /// The file to write; `-` for standard output.
        #[arg(value_name = "FILE", default_value = "wirehub.toml")]
        file: PathBuf,
    },
    /// Check a configuration, together with the environment and the keys in it, and report every mistake.
    #[command(
        after_help = "Examples:\n  wirehub config check\n  WIREHUB_LIMITS__CALLS=8 wirehub config check /etc/wirehub.toml"
    )]
    Check {
        /// The file to check.
        #[arg(value_name = "FILE", default_value = "wirehub.toml")]
        file: PathBuf,
    },
}

impl ConfigCommand {
    /// Runs the command and returns the exit status: 0, or 2 for a mistake.
    pub fn run(self) -> ExitCode {
        let done = match self {
            Self::Init { file } => init(&file),
            Self::Check { file } => check(&file),
        };
        match done {
            Ok(words) => {
                let _ = writeln!(io::stdout(), "{}", words.trim_end());
                ExitCode::SUCCESS
            }
            Err(error) => {
                report_error(&error);
                ExitCode::from(2)
            }
        }
    }
}

fn init(file: &Path) -> Result<String, Failure> {
    if file.as_os_str() == "-" {
        return Ok(TEMPLATE.into());
    }
    let written = OpenOptions::new().write(true).create_new(true).open(file);
    written.and_then(|mut file| file.write_all(TEMPLATE.as_bytes())).map_err(|error| {
        format!("cannot write {}: name another file, or remove this one ({error})", file.display())
    })?;
    Ok(format!("{} is written: edit it, then run `wirehub serve --config {0}`", file.display()))
}

fn check(file: &Path) -> Result<String, Failure> {
    Config::check(file)?;
    Ok(format!("{} is valid", file.display()))
}
