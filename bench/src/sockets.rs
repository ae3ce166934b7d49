//! The kernel's memory for an idle socket.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder as Runtime;

use crate::machine;
use crate::report::{Figure, median};

/// Each has two sockets in this process.
const CONNECTIONS: u32 = 5_000;

/// Prints the median of some runs. Other programs of the machine are in it, which is why there should be none.
pub(crate) fn measure(times: usize) -> Result<()> {
    ensure!(times > 0, "`--times` must be at least 1");
    machine::raise_descriptor_limit()?;
    let figures = (0..times).map(|_| once()).collect::<Result<_>>()?;
    let figure = median(figures).context("nothing was measured")?;
    println!("an idle TCP socket in an epoll instance: {} bytes of the kernel", Figure(figure));
    Ok(())
}

fn once() -> Result<f64> {
    Runtime::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let before = slabs()?;
        let mut sockets = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
            sockets.push((client?, server?.0));
        }
        // The objects that the kernel frees a little later are no part of it.
        thread::sleep(Duration::from_secs(2));
        let after = slabs()?;
        Ok((after as f64 - before as f64) / f64::from(CONNECTIONS) / 2.0)
    })
}

/// The bytes of the kernel's objects.
fn slabs() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")).context("it has no Slab")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
