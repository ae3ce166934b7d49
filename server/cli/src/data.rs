//! `wirehub data`.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use wirehub_client::Address;
use wirehub_disk::{CheckReport, RepairReport, check, repair};

use super::client::Failure;
use super::operate::{ask, parse_address, read_key, trusting};
use super::{report_error, runtime};

/// The subcommands for the data of the disk engine.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum DataCommand {
    /// Read everything in a data directory, and report what is damaged. No server may be using it.
    #[command(after_help = "Examples:\n  wirehub data check\n  wirehub data check /var/lib/wirehub")]
    Check {
        /// The directory.
        #[arg(value_name = "DIR", default_value = "wirehub-data")]
        directory: PathBuf,
    },
    /// Remove from a data directory what can't be read. Channels that lose messages get another epoch, so that their clients are
    /// notified. Make a copy first.
    #[command(after_help = "Examples:\n  wirehub data repair\n  wirehub data repair /var/lib/wirehub")]
    Repair {
        /// The directory.
        #[arg(value_name = "DIR", default_value = "wirehub-data")]
        directory: PathBuf,
    },
    /// Make a backup of a running server's data, through its HTTP API. It is of one moment, and has every message that was
    /// acknowledged before. The server writes it into a new folder below the folder of its setting disk.backups.
    #[command(after_help = BACKUP_NOTES)]
    Backup(Box<BackupOptions>),
}

/// The options of [`DataCommand::Backup`].
#[derive(Debug, Clone, clap::Args)]
pub struct BackupOptions {
    /// The server: http://127.0.0.1:8080, https://… or unix:FILE.
    #[arg(value_name = "URL", value_parser = parse_address)]
    pub url: Address,
    /// The name of the new folder.
    #[arg(long, value_name = "NAME")]
    pub to: String,
    /// The file with a key of the HTTP API. Default: the environment variable WIREHUB_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file, in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

const BACKUP_NOTES: &str = "\
Examples:
  wirehub data backup --key-file api.key --to monday http://127.0.0.1:8080
  wirehub serve --engine disk --data /var/backups/wirehub/monday    a server on the backup";

impl DataCommand {
    /// Runs the command. The exit status is 0 if the data is in order afterwards or the backup is complete, and otherwise 1.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Check { directory } => {
                finish(check(&directory).map(|report| (report.is_in_order(), check_words(&report))))
            }
            Self::Backup(options) => {
                let BackupOptions { url, to, key_file, ca } = *options;
                let made = backup(&url, &to, key_file.as_deref(), ca.as_deref());
                finish(
                    runtime()
                        .and_then(|runtime| runtime.block_on(made))
                        .map(|()| (true, format!("{to} is complete"))),
                )
            }
            Self::Repair { directory } => {
                finish(repair(&directory).map(|report| (true, repair_words(&report))))
            }
        }
    }
}

/// Begins a backup, and waits for its end.
async fn backup(
    url: &Address,
    name: &str,
    key_file: Option<&Path>,
    ca: Option<&Path>,
) -> Result<(), Failure> {
    let (key, address) = (read_key(key_file)?, trusting(url, ca)?);
    let path = "/api/v1/backup";
    ask(&address, Method::POST, path, &key, Some(&serde_json::json!({ "name": name }))).await?;
    loop {
        let backup = ask(&address, Method::GET, path, &key, None).await?;
        let text = |field| backup.get(field).and_then(Value::as_str).unwrap_or_default();
        if text("name") != name {
            return Err(
                "another backup has begun since, and the result of this one is in the server's log".into()
            );
        }
        match text("state") {
            "running" => tokio::time::sleep(PAUSE).await,
            "done" => return Ok(()),
            _ => return Err(text("error").into()),
        }
    }
}

/// The time between two looks for the end.
const PAUSE: Duration = Duration::from_millis(200);

fn check_words(report: &CheckReport) -> String {
    let CheckReport { channels, publications, keys, values, problems, notes, is_beyond_repair, .. } = report;
    let mut words = String::new();
    for problem in problems {
        // Writing to a text can't fail.
        let _ = writeln!(words, "damaged: {problem}");
    }
    for note in notes {
        let _ = writeln!(words, "note: {note}");
    }
    let _ =
        write!(words, "{channels} channels, {publications} messages, {keys} keys, {values} other values: ");
    words
        + match (problems.is_empty(), *is_beyond_repair) {
            (true, _) => "everything is in order",
            (false, false) => "restore a backup, or run `wirehub data repair`, which removes what is damaged",
            (false, true) => "restore a backup, or move the directory away to begin with an empty one",
        }
}

fn repair_words(report: &RepairReport) -> String {
    let RepairReport { problems, lost, all_epochs_changed, kept, .. } = report;
    if problems.is_empty() {
        return "everything is in order: nothing was changed".into();
    }
    let mut words = String::new();
    for problem in problems {
        let _ = writeln!(words, "damaged: {problem}");
    }
    for lost in lost {
        let _ = writeln!(words, "{} messages are lost in {}", lost.publications, lost.channel);
    }
    if *all_epochs_changed {
        words.push_str(
            "any channel may have lost messages: the epochs of all have changed, and clients are notified\n",
        );
    }
    if let Some(kept) = kept {
        let _ = writeln!(words, "the storage as it was before is in {}", kept.display());
    }
    words + "repaired"
}

fn finish(done: Result<(bool, String), impl Display>) -> ExitCode {
    match done {
        Ok((is_in_order, report)) => {
            let _ = writeln!(io::stdout(), "{report}");
            ExitCode::from(u8::from(!is_in_order))
        }
        Err(error) => {
            report_error(&error);
            ExitCode::FAILURE
        }
    }
}
