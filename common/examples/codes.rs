//! Prints the table of codes as the TypeScript module that the npm package is built with.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use wirehub_common::code::{CLOSES, ERRORS, Origin};

fn main() {
    let errors: Vec<Row> =
        ERRORS.iter().map(|row| Row::new(row.code.number(), row.name, row.origin, row.message)).collect();
    let closes: Vec<Row> =
        CLOSES.iter().map(|row| Row::new(row.code.number(), row.name, row.origin, row.message)).collect();

    println!("// Made from the table in wirehub-common. Change that, then make this anew.\n");
    print_numbers("What a `WirehubError`'s `code` can be, besides the application's own.", "Codes", &errors);
    print_numbers(
        "What a connection can be closed with, besides the application's own.",
        "CloseCodes",
        &closes,
    );
    print_enum("{@link Codes}", "Code", &errors);
    print_enum("{@link CloseCodes}", "CloseCode", &closes);
    print_words("What the errors mean that the client makes, and what to do.", "errorWords", &errors);
    print_words("What the close codes mean that come without words.", "closeWords", &closes);

    println!("/** @internal The errors after which the same may succeed later. */");
    println!("export const temporaryCodes: readonly number[] = [");
    for row in ERRORS.iter().filter(|row| row.temporary) {
        println!("  Code.{},", row.name);
    }
    println!("];");
}

struct Row {
    number: u16,
    name: &'static str,
    origin: Origin,
    words: &'static str,
}

impl Row {
    fn new(number: u16, name: &'static str, origin: Origin, words: &'static str) -> Self {
        Self { number, name, origin, words }
    }
}

fn print_numbers(about: &str, constant: &str, rows: &[Row]) {
    println!("/** {about} */\nexport const {constant} = {{");
    for Row { number, name, words, .. } in rows {
        println!("  /** {words} */\n  {name}: {number},");
    }
    println!("}} as const;\n");
}

/// For the package's own use.
fn print_enum(about: &str, name: &str, rows: &[Row]) {
    println!(
        "/** @internal {about} for this package's own use: the bundler puts the numbers in place of the names. */"
    );
    println!("export enum {name} {{");
    for Row { number, name, .. } in rows {
        println!("  {name} = {number},");
    }
    println!("}}\n");
}

/// Only those that a client needs.
fn print_words(about: &str, constant: &str, rows: &[Row]) {
    println!("/** @internal {about} */\nexport const {constant}: Readonly<Record<number, string>> = {{");
    for Row { number, words, .. } in rows.iter().filter(|row| row.origin == Origin::Client) {
        // The words have no backslashes and no control characters: Rust's quotes are JavaScript's.
        println!("  {number}: {words:?},");
    }
    println!("}};\n");
}
