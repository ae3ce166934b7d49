//! The tables and figures of PROTOCOL.md.

use wirehub_common::code::{CLOSES, ERRORS};
use wirehub_common::{ChannelName, Limits};

use crate::protocol_md::{PROTOCOL, table};

#[test]
fn the_table_of_error_codes_is_that_of_the_code() {
    let ours: Vec<_> = ERRORS
        .iter()
        .map(|row| {
            let (code, name) = (row.code.to_string(), format!("`{}`", row.name));
            vec![code, name, yes_or_no(row.temporary), row.message.into()]
        })
        .collect();
    assert_eq!(table("Error codes"), ours);
}

#[test]
fn the_table_of_close_codes_is_that_of_the_code() {
    let ours: Vec<_> = CLOSES
        .iter()
        .map(|row| {
            let (code, name) = (row.code.to_string(), format!("`{}`", row.name));
            vec![code, name, yes_or_no(row.code.reconnects()), row.message.into()]
        })
        .collect();
    assert_eq!(table("Close codes"), ours);
}

#[test]
fn the_figures_in_the_text_are_those_of_the_code() {
    let text = PROTOCOL.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(Limits::REPEATED, 16_384);
    assert!(text.contains("A repeated field holds at most 16,384 entries"));
    assert_eq!(Limits::BATCH_BYTES, 64 * 1024);
    assert!(text.contains("up to about 64 KiB"));
    assert_eq!(Limits::default().message_bytes, 1024 * 1024);
    assert!(text.contains("counts on 1 MiB"));
    assert_eq!(ChannelName::MAX_BYTES, 255);
    assert!(text.contains("1 to 255 bytes"));
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes".into() } else { "no".into() }
}
