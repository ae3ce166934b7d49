//! Prints the table of codes as the TypeScript module that the npm package is built with.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use wirehub_common::code::{CLOSES, ERRORS};

fn main() {
    let errors: Vec<Row> = ERRORS.iter().map(|row| (row.code.number(), row.name, row.message)).collect();
    let closes: Vec<Row> = CLOSES.iter().map(|row| (row.code.number(), row.name, row.message)).collect();

    println!("// Made from the table in wirehub-common. Change that, then make this anew.\n");
    print_numbers("What a `WirehubError`'s `code` can be, besides the application's own.", "Codes", &errors);
    print_numbers(
        "What a connection can be closed with, besides the application's own.",
        "CloseCodes",
        &closes,
    );
    print_words("What each error means and what to do.", "errorWords", &errors);
    print_words("What each close code means.", "closeWords", &closes);

    println!("/** The errors after which the same may succeed later. */");
    println!("export const temporaryCodes: readonly number[] = [");
    for row in ERRORS.iter().filter(|row| row.temporary) {
        println!("  Codes.{},", row.name);
    }
    println!("];");
}

/// Number, name and words of a code.
type Row = (u16, &'static str, &'static str);

fn print_numbers(about: &str, constant: &str, rows: &[Row]) {
    println!("/** {about} */\nexport const {constant} = {{");
    for (number, name, words) in rows {
        println!("  /** {words} */\n  {name}: {number},");
    }
    println!("}} as const;\n");
}

fn print_words(about: &str, constant: &str, rows: &[Row]) {
    println!("/** {about} */\nexport const {constant}: Readonly<Record<number, string>> = {{");
    for (number, _, words) in rows {
        // The words have no backslashes and no control characters: Rust's quotes are JavaScript's.
        println!("  {number}: {words:?},");
    }
    println!("}};\n");
}
