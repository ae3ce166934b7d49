//! The progress of large publishes and calls, as a stream.

use super::*;

const LARGE: usize = 100_000;

/// Sends the next part.
fn pass_on(play: &Play) {
    assert_eq!(play.commands().len(), 1);
    play.driver.handle_unsent(0);
    // It passes on the progress.
    assert_eq!(play.driver.poll_transmit(false), None);
}

#[test]
fn a_handle_has_the_progress_of_its_own_commands() {
    let play = Play::connected(Config::default());
    let (client, mut progress) = play.client.clone().with_progress();
    let large = || Payload::bytes(vec![0; LARGE]);
    let mut other = Box::pin(play.client.publish_raw(channel("c"), large()));
    assert!(other.as_mut().now_or_never().is_none());
    let mut publish = Box::pin(client.publish_raw(channel("c"), large()));
    assert!(publish.as_mut().now_or_never().is_none());
    for _ in 0..LARGE.div_ceil(16 * 1024 - 32) {
        pass_on(&play);
    }
    assert_eq!(next(&mut progress), None, "this was another handle's");
    pass_on(&play);
    let first = next(&mut progress).unwrap();
    let question = play.commands();
    assert!(matches!(question[0].request, Request::Cancel(_)), "{question:?}");
    pass_on(&play);
    pass_on(&play);
    let third = next(&mut progress).unwrap();
    assert_eq!(next(&mut progress), None, "a slow reader has the newest");
    assert!(third.sent >= 2 * first.sent && third.sent < third.total, "{first:?} {third:?}");
    assert!(first.total == third.total && first.total > LARGE, "{first:?} {third:?}");
}

#[test]
fn the_stream_ends_with_its_handle() {
    let play = Play::connected(Config::default());
    let (client, mut progress) = play.client.clone().with_progress();
    let mut call = Box::pin(client.call_raw("f", Payload::bytes(vec![0; LARGE])));
    assert!(call.as_mut().now_or_never().is_none());
    pass_on(&play);
    drop(call);
    drop(client);
    assert!(next(&mut progress).is_some());
    assert!(is_over(&mut progress));
}
