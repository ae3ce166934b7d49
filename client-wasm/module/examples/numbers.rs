//! Prints the numbers of the module's inputs and rows as the TypeScript module of the npm package.
#![allow(clippy::print_stdout, reason = "printing is its purpose")]

#[path = "../src/numbers.rs"]
#[allow(dead_code, reason = "only the tables are printed")]
mod numbers;

fn main() {
    println!("// Generated from client-wasm/module/src/numbers.rs. Change that, then generate this again.\n");
    print("The requests to the module.", "Request", numbers::INPUTS);
    print("The rows of its output.", "Row", numbers::ROWS);
    print("The events of its sockets.", "SocketEvent", numbers::SOCKET_EVENTS);
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
