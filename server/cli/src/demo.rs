//! `wirehub serve --demo`.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use wirehub_demo::{Demo, RestartWish, TOKEN_KEY, arguments_at, has_page};
use wirehub_server::config::EngineKind;

use crate::{ServeOptions, note, report_error};

/// The directory of the demo's messages.
const DATA: &str = "wirehub-demo";

/// Serves the demo until a signal. If a client asks for a restart, this program runs itself again in its place.
pub(crate) fn serve(mut options: ServeOptions) -> ExitCode {
    // Without a configuration the demo keeps its messages, so that a restart shows that nothing is lost.
    if options.config.is_none() && options.engine.is_none() && options.redis.is_none() {
        options.engine = Some(EngineKind::Disk);
        options.data.get_or_insert_with(|| PathBuf::from(DATA));
    }
    // A configuration may name the page's files too.
    if !has_page() && options.static_files.is_none() && options.config.is_none() {
        note("this program was built without the demo's page: `cargo xtask program` builds one that has it");
    }
    let demo = Demo::new().restarting();
    let wish = demo.wish();
    let code = options.serve_with(demo.builder(), demo);
    // A signal during the stop means that somebody wants the end.
    if code == ExitCode::SUCCESS { again(&wish).unwrap_or(code) } else { code }
}

/// Runs this program again, at the same address. `None` if nobody wished that.
fn again(wish: &RestartWish) -> Option<ExitCode> {
    let address = wish.address()?;
    let mut next = match env::current_exe() {
        Ok(program) => Command::new(program),
        Err(error) => {
            report_error(&format_args!(
                "the server can't start again, because its program is unknown ({error})"
            ));
            return Some(ExitCode::FAILURE);
        }
    };
    next.args(arguments_at(env::args_os().skip(1), &address));
    if let Some(key) = wish.token_key() {
        next.env(TOKEN_KEY, key);
    }
    note("restarting, as the lab asked");
    Some(become_program(&mut next))
}

/// Becomes the program: process, terminal and open output stay.
#[cfg(unix)]
fn become_program(next: &mut Command) -> ExitCode {
    use std::os::unix::process::CommandExt as _;

    let error = next.exec();
    report_error(&format_args!("the server can't start again ({error})"));
    ExitCode::FAILURE
}

/// Runs the program and waits for its end.
#[cfg(not(unix))]
fn become_program(next: &mut Command) -> ExitCode {
    match next.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            report_error(&format_args!("the server can't start again ({error})"));
            ExitCode::FAILURE
        }
    }
}
