//! The command line, and what is measured in which order.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use crate::loads::Load;
use crate::machine::Cores;
use crate::report::{self, Row};
use crate::server::{Kind, Server};
use crate::{machine, servers};

/// Measures what servers cost.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure.
    Run {
        /// What to measure; everything where none is named.
        loads: Vec<Load>,
        /// The `wirehub` program.
        #[arg(long)]
        wirehub: PathBuf,
        /// Measure these servers only.
        #[arg(long = "server")]
        servers: Vec<Kind>,
        /// How often; the median counts.
        #[arg(long, default_value_t = 3)]
        times: usize,
    },
    /// Be one of the servers that Wirehub is compared with.
    Serve { server: servers::Compared },
}

pub(crate) fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Serve { server } => server.serve(),
        Verb::Run { loads, wirehub, servers, times } => {
            ensure!(times > 0, "`--times` must be at least 1");
            ensure!(wirehub.is_file(), "{} is no program: build it first", wirehub.display());
            machine::raise_descriptor_limit()?;
            let cores = Cores::of_this_machine()?;
            println!("{}", machine::describe(&cores)?);
            let all = |chosen: &[Load]| if chosen.is_empty() { Load::ALL.to_vec() } else { chosen.to_vec() };
            for load in all(&loads) {
                let row = measure(load, &servers, times, &wirehub, &cores)?;
                println!("{row}");
            }
            Ok(())
        }
    }
}

/// One row of the table. The servers take turns, so that what disturbs the machine disturbs them alike.
fn measure(load: Load, chosen: &[Kind], times: usize, wirehub: &Path, cores: &Cores) -> Result<Row> {
    let kinds = Kind::ALL.into_iter().filter(|kind| chosen.is_empty() || chosen.contains(kind));
    let mut figures: Vec<(Kind, Vec<f64>)> = kinds.map(|kind| (kind, Vec::new())).collect();
    for _ in 0..times {
        for (kind, figures) in &mut figures {
            let server = Server::start(*kind, wirehub, cores)?;
            let figure = load.put_on(&server).with_context(|| format!("{load} failed with {kind}"))?;
            figures.push(figure);
        }
    }
    Ok(report::row(load, figures))
}
