//! The command line, and the order of the measurements.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use crate::loads::Load;
use crate::machine::Cores;
use crate::report::Table;
use crate::server::{Candidate, Kind, Server};
use crate::{engines, machine, servers, sockets};

/// Measures the cost of servers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure.
    Run {
        /// The loads to measure; by default the usual ones.
        loads: Vec<Load>,
        /// The `wirehub` program.
        #[arg(long)]
        wirehub: PathBuf,
        /// Measure only these servers.
        #[arg(long = "server")]
        servers: Vec<Kind>,
        /// Measure this server as well, as NAME=PROGRAM: without arguments it prints "listening on ADDRESS:PORT", and
        /// has the WebSocket paths /subscribe, /publish and /echo.
        #[arg(long)]
        also: Vec<Candidate>,
        /// The number of runs; the median counts.
        #[arg(long, default_value_t = 3)]
        times: usize,
    },
    /// Measure the engines of the server, in this process.
    Engines(engines::Options),
    /// Measure the kernel's memory for an idle socket.
    Sockets {
        /// The number of runs; the median counts.
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
    /// A part of the measurement of engines.
    #[command(hide = true)]
    Engine(engines::Child),
    /// Run one of the servers that Wirehub is compared with.
    Serve { server: servers::Compared },
}

pub(crate) fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Serve { server } => server.serve(),
        Verb::Engines(options) => engines::measure(&options),
        Verb::Sockets { times } => sockets::measure(times),
        Verb::Engine(child) => child.run(),
        Verb::Run { loads, wirehub, servers, also, times } => {
            ensure!(times > 0, "`--times` must be at least 1");
            ensure!(wirehub.is_file(), "{} is not a program: build it first", wirehub.display());
            machine::raise_descriptor_limit()?;
            let cores = Cores::of_this_machine()?;
            println!("{}", machine::describe(&cores)?);
            let known = Candidate::known(&wirehub)?.into_iter();
            let known = known.filter(|it| servers.is_empty() || servers.contains(&it.kind));
            let candidates: Vec<Candidate> = known.chain(also).collect();
            let table = Table::new(&candidates);
            println!("{}", table.head());
            for load in if loads.is_empty() { Load::USUAL.to_vec() } else { loads } {
                for row in table.rows(load, &measure(load, &candidates, times, &cores)?) {
                    println!("{row}");
                }
            }
            Ok(())
        }
    }
}

/// The figures of each candidate in each run. The servers take turns, so that a disturbance of the machine affects them
/// alike.
fn measure(load: Load, candidates: &[Candidate], times: usize, cores: &Cores) -> Result<Vec<Vec<Vec<f64>>>> {
    let mut figures = vec![Vec::new(); candidates.len()];
    for _ in 0..times {
        for (candidate, figures) in candidates.iter().zip(&mut figures) {
            if load.suits(candidate.kind) {
                let server = Server::start(candidate, load.setup(), cores)?;
                let result = load.put_on(&server).with_context(|| format!("{load} failed with {candidate}"));
                figures.push(result?);
            }
        }
    }
    Ok(figures)
}
