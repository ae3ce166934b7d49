//! The tables and figures of PROTOCOL.md.

use wirehub_common::code::{CLOSES, ERRORS, Origin};
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
fn clients_have_messages_for_the_errors_that_only_they_detect() {
    let text = PROTOCOL.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("115, 117 to 119, 121 to 127 and 129 do not come over the wire"));
    assert!(text.contains("3009, 3010, 3505 and 3507 come from clients"));
    let errors: Vec<u16> = [115].into_iter().chain(117..=119).chain(121..=127).chain([129]).collect();
    let found = ERRORS.iter().filter(|row| row.origin == Origin::Client).map(|row| row.code.number());
    let found: Vec<u16> = found.filter(|number| errors.contains(number)).collect();
    assert_eq!(found, errors);
    let closes = [1005, 1006, 3009, 3010, 3505, 3507];
    let found = CLOSES.iter().filter(|row| row.origin == Origin::Client).map(|row| row.code.number());
    let found: Vec<u16> = found.filter(|number| closes.contains(number)).collect();
    assert_eq!(found, closes);
}

#[test]
fn the_figures_in_the_text_are_those_of_the_code() {
    let text = PROTOCOL.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(Limits::REPEATED, 16_384);
    assert!(text.contains("A repeated field holds at most 16,384 entries"));
    assert_eq!(Limits::BATCH_BYTES, 64 * 1024);
    assert!(text.contains("which is 64 KiB"));
    assert_eq!(Limits::default().message_bytes, 1024 * 1024);
    assert!(text.contains("assumes 1 MiB"));
    assert_eq!(ChannelName::MAX_BYTES, 255);
    assert!(text.contains("1 to 255 bytes"));
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes".into() } else { "no".into() }
}
