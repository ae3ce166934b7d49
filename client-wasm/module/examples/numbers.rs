//! Prints the numbers of the module's inputs and rows, and the defaults of a client, as the TypeScript module of the npm
//! package.
#![allow(clippy::print_stdout, reason = "printing is its purpose")]

use wirehub_client_core::Config;

#[path = "../src/numbers.rs"]
#[allow(dead_code, reason = "only the tables are printed")]
mod numbers;

fn main() {
    println!(
        "// Generated from client-wasm/module/src/numbers.rs and the Config of wirehub-client-core. Change that, then generate this again.\n"
    );
    print("The requests to the module.", "Request", numbers::INPUTS);
    print("The rows of its output.", "Row", numbers::ROWS);
    print("The events of its sockets.", "SocketEvent", numbers::SOCKET_EVENTS);
    print_defaults();
}

/// The defaults of a client, which the page's half needs before the module is there.
fn print_defaults() {
    let Config { connect_timeout, min_delay, max_delay, command_timeout, send_queue, receive_queue, .. } =
        Config::new();
    println!(
        "/** @internal The defaults of a client: times in milliseconds, queues in bytes. */\nexport enum Default {{"
    );
    for (name, time) in [
        ("ConnectTimeout", connect_timeout),
        ("MinDelay", min_delay),
        ("MaxDelay", max_delay),
        ("CommandTimeout", command_timeout),
    ] {
        println!("  {name} = {},", time.as_millis());
    }
    println!("  SendQueue = {send_queue},\n  ReceiveQueue = {receive_queue},\n}}");
}

fn print(about: &str, name: &str, table: &[(&str, u8, &str)]) {
    println!("/** @internal {about} */\nexport enum {name} {{");
    for (name, number, words) in table {
        println!(
            "  /** {} */\n  {} = {number},",
            words.split_whitespace().collect::<Vec<_>>().join(" "),
            camel(name)
        );
    }
    println!("}}\n");
}

/// `ONE_NAME` as `OneName`.
fn camel(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect()
}
