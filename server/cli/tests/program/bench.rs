//! `wirehub bench`: it measures the server's work, and limits its load on servers of others.

use std::time::Duration;

use serde_json::Value;
use wirehub_server::namespace::{Access, Namespace};

use crate::program::{failure, wirehub};
use crate::support::{Server, in_time, open_hub, until};

async fn output(arguments: Vec<String>) -> std::process::Output {
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        wirehub(&arguments).output().unwrap()
    };
    in_time(tokio::task::spawn_blocking(run)).await.unwrap()
}

fn arguments(server: &Server, more: &str) -> Vec<String> {
    let url = format!("ws://{}/ws", server.host());
    ["bench", &url].into_iter().chain(more.split(' ')).map(str::to_owned).collect()
}

#[tokio::test]
async fn it_counts_the_messages_of_every_session() {
    let server = Server::start(open_hub().build()).await;
    // Seven sessions in three channels: three, two and two.
    let load = "--sessions 7 --channels 3 --rate 300 --size 100B --duration 500ms --json";
    let output = output(arguments(&server, load)).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["published"], &report["refused"], &report["missing"]),
        (&150.into(), &0.into(), &0.into())
    );
    assert_eq!(report["delivered"], 50 * 3 + 50 * 2 + 50 * 2);
    let micros = |name: &str| report["latency_us"][name].as_u64().unwrap();
    assert!(
        0 < micros("p50") && micros("p50") <= micros("p99") && micros("p99") <= micros("max"),
        "{report}"
    );
    assert!(Duration::from_micros(micros("max")) < Duration::from_secs(10), "{report}");
    assert!(report["publishing_ms"].as_u64().unwrap() >= 490, "it keeps the rate: {report}");
    // Every session ends.
    until(|| server.hub.local_sessions() == 0).await;
}

#[tokio::test]
async fn people_get_words() {
    let server = Server::start(open_hub().build()).await;
    let output = output(arguments(&server, "--sessions 2 --rate 100 --duration 100ms")).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "sessions   2, connected in",
        "channels   1",
        "delivered  20,",
        "published  10 of 128 bytes",
        "p99.9",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains("missing"), "{text}");
}

#[tokio::test]
async fn a_server_that_refuses_publications_is_reported_with_the_reason() {
    let rules = Namespace::default().publish(Access::TokenOnly);
    let server = Server::start(open_hub().namespace("bench", rules).build()).await;
    let output = output(arguments(&server, "--sessions 1 --duration 100ms")).await;
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("(103)"), "{words}");
}

#[test]
fn it_is_bounded_and_no_nuisance_to_others() {
    for (arguments, code, words) in [
        (&["--sessions", "51", "ws://192.0.2.1/ws"][..], 1, "--on-others"),
        (&["--sessions", "20", "--rate", "51", "ws://192.0.2.1/ws"], 1, "--on-others"),
        (&["--sessions", "100000", "ws://127.0.0.1:1/ws"], 2, "10000"),
        (&["--rate", "0", "ws://127.0.0.1:1/ws"], 2, "100000"),
        (&["--size", "1B", "ws://127.0.0.1:1/ws"], 2, "16B"),
        (&["--duration", "2d", "ws://127.0.0.1:1/ws"], 2, "1h"),
        (&["--prefix", "two words", "ws://127.0.0.1:1/ws"], 1, "white space"),
        (&["ws://127.0.0.1:1/ws"], 1, "no connection"),
    ] {
        let (status, told) = failure(&[&["bench"], arguments].concat());
        assert_eq!(status, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}
