//! `cargo xtask demo`: from a fresh clone to a page in the browser.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    build_client,
    console::{Console, Step},
    page, process,
    project::Project,
    setup, yew,
};

/// The default address of the demo.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

pub(crate) const SERVER_STEP: Step<'static> =
    Step { name: "server", what: "building the demo server", slow: Some("1 to 2 min the first time") };

/// The cargo profile of the demo's server.
pub(crate) const PROFILE: &str = "demo";
pub(crate) const PROGRAM: &str = "wirehub";
const DATA: &str = "target/demo-data";

pub(crate) fn verb(project: &Project, console: &Console, listen: SocketAddr, in_yew: bool) -> Result<()> {
    // Checked now rather than after minutes of building.
    expect_free(listen)?;
    // Setup waits for downloads and for programs that use one core. The compiler uses the rest.
    let server_build = console.start(SERVER_STEP, &mut program_build(project))?;
    let tools = setup::for_demo(project, console)?;
    let page = if in_yew {
        console.step(yew::STEP, |log| yew::build(project, &tools, log))?;
        yew::FOLDER
    } else {
        console.step(build_client::STEP, |log| build_client::ensure_built(project, &tools, log))?;
        console.step(page::STEP, |log| page::ensure_built(project, &tools, log))?;
        page::BUILT
    };
    console.finish(server_build)?;
    println!("\nOpen http://{listen}/ in a browser, in two windows if you like. Ctrl-C stops the server.\n");
    let mut server = process::command(project.binary(PROFILE, PROGRAM));
    server.current_dir(project.root()).args(["serve", "--demo"]);
    server.args(["--listen", &listen.to_string(), "--static"]).arg(project.path(page));
    // A restart of the demo keeps its rooms.
    server.args(["--engine", "disk", "--data"]).arg(project.path(DATA));
    run_in_our_place(&mut server)
}

/// The command that builds the demo's server.
pub(crate) fn program_build(project: &Project) -> Command {
    let mut build = process::command("cargo");
    build.current_dir(project.root());
    build.args(["build", "--package", "wirehub-cli", "--bin", PROGRAM, "--profile", PROFILE]);
    build
}

fn expect_free(listen: SocketAddr) -> Result<()> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let other = SocketAddr::new(listen.ip(), listen.port().wrapping_add(1).max(1024));
            bail!("another program listens on {listen}: stop it, or run `cargo xtask demo --listen {other}`")
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot listen on {listen}: choose an address of this machine with `--listen ADDRESS:PORT`"
            )
        }),
    }
}

/// Becomes the server, which then handles Ctrl-C and sets the exit status.
#[cfg(unix)]
fn run_in_our_place(server: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(server.exec()).context("cannot start the demo server")
}

#[cfg(not(unix))]
fn run_in_our_place(server: &mut Command) -> Result<()> {
    let status = server.status().context("cannot start the demo server")?;
    anyhow::ensure!(status.success(), "the demo server ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::expect_free;

    #[test]
    fn a_taken_port_is_reported_with_the_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = expect_free(taken.local_addr().unwrap()).unwrap_err().to_string();
        assert!(error.contains("--listen 127.0.0.1:"), "{error}");
        expect_free("127.0.0.1:0".parse().unwrap()).unwrap();
    }
}
