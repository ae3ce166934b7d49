//! The progress of commands that go out in parts.

use super::*;

const LARGE: usize = 100_000;

/// A progress, and the end of its command.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Sent(CommandId, usize),
    Ended(CommandId),
}

use Step::{Ended, Sent};

/// The progress since the last call; each total is that of a large command.
fn steps(client: &mut Client) -> Vec<Step> {
    let step = |event| match event {
        Event::Progress { command, sent, total } => {
            assert!(total > LARGE && total < LARGE + 100, "{total}");
            Some(Sent(command, sent))
        }
        Event::Completed { command, .. } => Some(Ended(command)),
        _ => None,
    };
    client.events().into_iter().filter_map(step).collect()
}

fn publish(client: &mut Client, bytes: usize) -> CommandId {
    client.core.publish(client.now, &channel("c"), &Payload::bytes(vec![0; bytes]), None).unwrap()
}

/// Sends the next message over a transport that keeps none of it; returns its commands.
fn pass_on(client: &mut Client) -> Option<Vec<Command>> {
    let commands = client.sent_next();
    client.core.handle_unsent(0);
    commands
}

fn confirm(client: &mut Client, command: CommandId) {
    client.reply(command.number(), Ok(ReplyBody::Published(Published::default())));
}

#[test]
fn each_part_that_the_transport_passes_on_is_reported_once() {
    let mut client = Client::connected();
    let large = publish(&mut client, LARGE);
    let mut sent = Vec::new();
    while pass_on(&mut client).is_some() {
        let new = steps(&mut client);
        assert!(new.len() <= 1, "{new:?}");
        client.core.handle_unsent(0);
        assert_eq!(steps(&mut client), [], "there is nothing new");
        sent.extend(new.into_iter().map(|step| match step {
            Sent(command, sent) => {
                assert_eq!(command, large);
                sent
            }
            Ended(_) => panic!("it has no answer"),
        }));
    }
    assert_eq!(sent.len(), LARGE.div_ceil(16 * 1024 - 32));
    assert!(sent.is_sorted() && sent.last().is_some_and(|&last| last > LARGE), "{sent:?}");
    confirm(&mut client, large);
    assert_eq!(steps(&mut client), [Ended(large)]);
}

#[test]
fn bytes_in_the_buffer_of_the_transport_are_not_sent() {
    let mut client = Client::connected();
    let large = publish(&mut client, LARGE);
    let part = 16 * 1024;
    for parts in 1..=4 {
        client.sent_next().unwrap();
        client.core.handle_unsent(parts * part);
    }
    assert_eq!(steps(&mut client), []);
    client.core.handle_unsent(part);
    let [Sent(_, sent)] = steps(&mut client)[..] else { panic!() };
    assert!(sent <= 3 * part && sent > 3 * (part - 100), "{sent}");
    client.core.handle_unsent(2 * part);
    assert_eq!(steps(&mut client), [], "it never decreases");
    while client.sent_next().is_some() {}
    let next = publish(&mut client, LARGE);
    // The rest of the first one, with all of the next one behind it.
    while client.sent_next().is_some() {}
    client.core.handle_unsent(LARGE + 3 * part);
    let [Sent(command, sent)] = steps(&mut client)[..] else { panic!() };
    assert_eq!(command, large);
    assert!(sent < LARGE, "{sent}");
    client.core.handle_unsent(LARGE);
    let [Sent(first, whole), Sent(second, begun)] = steps(&mut client)[..] else { panic!() };
    assert_eq!((first, second), (large, next));
    assert!(whole > LARGE && begun < part, "{whole} {begun}");
}

#[test]
fn small_and_volatile_messages_have_no_progress() {
    let mut client = Client::connected();
    let small = publish(&mut client, 60_000);
    while pass_on(&mut client).is_some() {}
    confirm(&mut client, small);
    assert_eq!(steps(&mut client), [Ended(small)]);
    assert!(client.core.publish_volatile(&channel("c"), &Payload::bytes(vec![0; LARGE])));
    while pass_on(&mut client).is_some() {}
    assert_eq!(steps(&mut client), []);
}

#[test]
fn an_answer_completes_the_progress_whatever_the_transport_knows() {
    let mut client = Client::connected();
    let (whole, first, second) = (LARGE * 3, publish(&mut client, LARGE), publish(&mut client, LARGE));
    let sent = client.sent();
    client.core.handle_unsent(whole);
    assert_eq!(steps(&mut client), []);
    let total = |steps: &[Step]| match steps[0] {
        Sent(_, sent) => sent,
        Ended(_) => 0,
    };
    // The answer to the question behind the first one.
    let is_question = |command: &&Command| matches!(command.request, Request::Cancel(_));
    let question = sent.iter().find(is_question).unwrap().id;
    client.reply(question, Ok(ReplyBody::Cancelled));
    let arrived = steps(&mut client);
    assert_eq!(arrived, [Sent(first, total(&arrived))]);
    confirm(&mut client, first);
    assert_eq!(steps(&mut client), [Ended(first)]);
    // The answer to the command itself.
    confirm(&mut client, second);
    let answered = steps(&mut client);
    assert_eq!(answered, [Sent(second, total(&answered)), Ended(second)]);
    client.core.handle_unsent(0);
    assert_eq!(steps(&mut client), []);
}

#[test]
fn after_a_lost_connection_the_progress_starts_over() {
    let mut client = Client::connected();
    let large = publish(&mut client, LARGE);
    for _ in 0..5 {
        pass_on(&mut client).unwrap();
    }
    let before = steps(&mut client);
    assert_eq!(before.len(), 5);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.core.handle_unsent(0);
    client.wait();
    client.establish();
    assert_eq!(steps(&mut client), []);
    pass_on(&mut client).unwrap();
    assert_eq!(steps(&mut client), before[..1]);
    while pass_on(&mut client).is_some() {}
    confirm(&mut client, large);
    assert_eq!(steps(&mut client).last(), Some(&Ended(large)));
}

#[test]
fn a_command_that_has_ended_has_no_progress() {
    let mut client = Client::connected();
    let (given_up, refused) = (publish(&mut client, LARGE), publish(&mut client, LARGE));
    pass_on(&mut client).unwrap();
    client.core.cancel(given_up);
    let [Sent(command, _), Ended(ended)] = steps(&mut client)[..] else { panic!() };
    assert_eq!((command, ended), (given_up, given_up));
    // The rest of it goes out all the same.
    while pass_on(&mut client).is_some() {}
    let of_refused = steps(&mut client);
    assert!(
        of_refused.iter().all(|step| matches!(step, Sent(command, _) if *command == refused)),
        "{of_refused:?}"
    );
    client.reply(refused.number(), Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)));
    client.core.handle_unsent(0);
    assert_eq!(steps(&mut client), [Ended(refused)]);
}
