//! Prints the table of codes as the TypeScript module that the npm package is built with.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use wirehub_common::code::{CLOSES, ERRORS, Origin};

fn main() {
    let errors: Vec<Row> =
        ERRORS.iter().map(|row| Row::new(row.code.number(), row.name, row.origin, row.message)).collect();
    let closes: Vec<Row> =
        CLOSES.iter().map(|row| Row::new(row.code.number(), row.name, row.origin, row.message)).collect();

    println!("// Made from the table in wirehub-common. Change that, then make this anew.\n");
    println!("import {{ byName, byNumber }} from '../table.js';\n");
    print_names(
        "What a `WirehubError`'s `code` can be, besides the application's own.",
        "Codes",
        "errorNames",
        &errors,
    );
    print_names(
        "What a connection can be closed with, besides the application's own.",
        "CloseCodes",
        "closeNames",
        &closes,
    );
    print_enum("{@link Codes}", "Code", &errors);
    print_enum("{@link CloseCodes}", "CloseCode", &closes);
    let own =
        |rows: &[Row]| table(rows.iter().filter(|row| row.origin == Origin::Client), |row| row.words.into());
    print_table("What the errors mean that the client makes, and what to do.", "errorWords", &own(&errors));
    print_table("What the close codes mean that come without words.", "closeWords", &own(&closes));

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

/// The constants that people see, and their names as words: these are read by people where there are no others, and
/// compress better.
fn print_names(about: &str, constant: &str, names: &str, rows: &[Row]) {
    let words = table(rows.iter(), |row| row.name.to_lowercase().replace('_', " "));
    print_table(&format!("What {{@link {constant}}} are called, as words."), names, &words);
    println!("/** {about} */\nexport const {constant} = byName({names}) as {{");
    for Row { number, name, words, .. } in rows {
        println!("  /** {words} */\n  readonly {name}: {number};");
    }
    println!("}};\n");
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

fn print_table(about: &str, constant: &str, table: &str) {
    println!("/** @internal {about} */\nexport const {constant} = byNumber({table:?});\n");
}

/// As `table.ts` reads it: a number where it is not the next one, and what has it. Names and words have no `|`, no
/// backslash and no control character.
fn table<'a>(rows: impl Iterator<Item = &'a Row>, text: impl Fn(&Row) -> String) -> String {
    let mut next = 0;
    let mut table = Vec::new();
    for row in rows {
        if row.number != next {
            table.push(row.number.to_string());
        }
        table.push(text(row));
        next = row.number.saturating_add(1);
    }
    table.join("|")
}
