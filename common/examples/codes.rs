//! Prints the table of codes as the TypeScript module of the npm package.
#![allow(clippy::print_stdout, reason = "printing is its purpose")]

use wirehub_common::code::{CLOSES, ERRORS, Origin};

fn main() {
    let errors: Vec<Row> =
        ERRORS.iter().map(|row| Row::new(row.code.number(), row.name, row.origin, row.message)).collect();
    let closes: Vec<Row> =
        CLOSES.iter().map(|row| Row::new(row.code.number(), row.name, row.origin, row.message)).collect();

    println!("// Generated from the table in wirehub-common. Change the table, then generate this again.\n");
    println!("import {{ byName, byNumber }} from '../table.js';\n");
    print_names(
        "The values of a `WirehubError`'s `code`, besides the application's own.",
        "Codes",
        "errorNames",
        &errors,
    );
    print_names(
        "The close codes of a connection, besides the application's own.",
        "CloseCodes",
        "closeNames",
        &closes,
    );
    print_enum("{@link Codes}", "Code", &errors);
    print_enum("{@link CloseCodes}", "CloseCode", &closes);
    let own =
        |rows: &[Row]| table(rows.iter().filter(|row| row.origin == Origin::Client), |row| row.words.into());
    print_table("The descriptions of the client's own errors.", "errorWords", &own(&errors));
    print_table(
        "The descriptions of the close codes that come without a reason.",
        "closeWords",
        &own(&closes),
    );

    println!("/** @internal The temporary errors, after which the same may succeed later. */");
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

/// The public constants, and their names as text. The names are shown to people where there is no message, and in small
/// letters they compress better.
fn print_names(about: &str, constant: &str, names: &str, rows: &[Row]) {
    let words = table(rows.iter(), |row| row.name.to_lowercase().replace('_', " "));
    print_table(&format!("The names of {{@link {constant}}} as text."), names, &words);
    println!("/** {about} */\nexport const {constant} = byName({names}) as {{");
    for Row { number, name, words, .. } in rows {
        println!("  /** {words} */\n  readonly {name}: {number};");
    }
    println!("}};\n");
}

/// For the package itself.
fn print_enum(about: &str, name: &str, rows: &[Row]) {
    println!(
        "/** @internal {about} for this package itself: the bundler substitutes the numbers for the names. */"
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

/// In the format of `table.ts`: a number wherever it is not the next one, and the text for it. Names and messages
/// contain no `|`, no backslash and no control character.
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
