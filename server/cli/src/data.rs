//! `wirehub data`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use wirehub_disk::{CheckReport, DiskError, RepairReport, check, repair};

use super::report_error;

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
}

impl DataCommand {
    /// Runs the command. The exit status is 0 if the data is in order afterwards, and otherwise 1.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Check { directory } => {
                finish(check(&directory).map(|report| (report.is_in_order(), check_words(&report))))
            }
            Self::Repair { directory } => {
                finish(repair(&directory).map(|report| (true, repair_words(&report))))
            }
        }
    }
}

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

fn finish(done: Result<(bool, String), DiskError>) -> ExitCode {
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
