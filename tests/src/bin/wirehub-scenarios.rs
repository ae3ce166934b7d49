//! The stage of the scenarios as a program, for players in other processes: see `wirehub_tests::scenarios`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a part of tests")]

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--listen").skip(1);
    let listener = TcpListener::bind(arguments.next().unwrap_or("127.0.0.1:0".into())).await.unwrap();
    println!("listening on http://{}/", listener.local_addr().unwrap());
    let mut end = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        () = wirehub_tests::scenarios::serve(listener) => {}
        _ = end.recv() => {}
    }
}
