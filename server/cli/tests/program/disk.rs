//! The program with the engine on disk.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use wirehub_client::{Address, Client, Config, Update};
use wirehub_common::{ChannelName, Payload};

use crate::program::{Running, failure, wirehub};
use crate::support::in_time;

const CONFIG: &str = r#"
engine = "disk"
[server]
anonymous = true
[limits]
reconnect_window = "10ms"
[disk]
path = "data"
durability = "always"
[namespace.kept]
subscribe = "everybody"
publish = "everybody"
history_size = 100000
history_ttl = "1h"
"#;

/// A server with a data directory in the folder.
fn serve(folder: &Path, listen: &str) -> Running {
    let config = folder.join("wirehub.toml");
    std::fs::write(&config, CONFIG).unwrap();
    Running::start(&["serve", "--config", config.to_str().unwrap(), "--listen", listen])
}

async fn client(host: &str) -> Client {
    let address = Address::parse(&format!("ws://{host}/ws")).unwrap();
    let client = wirehub_client::client(address, Config::new());
    in_time(client.connect()).await.unwrap();
    client
}

#[tokio::test]
async fn a_killed_server_loses_no_acknowledged_message_and_subscribers_notice_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(folder.path(), "127.0.0.1:0");
    let host = server.address().strip_prefix("http://").unwrap().to_owned();
    let channel = ChannelName::new("kept:stream").unwrap();
    let (publisher, subscriber) = (client(&host).await, client(&host).await);
    let mut received = subscriber.subscribe_raw(channel.clone()).unwrap();
    in_time(received.ready()).await.unwrap();

    let publishing = tokio::spawn({
        let (publisher, channel) = (publisher.with_timeout(Duration::from_secs(60)), channel.clone());
        async move {
            for number in 0..MESSAGES {
                // The client repeats a publish with its key after a reconnect.
                publisher.publish_raw(channel.clone(), Payload::json(number.to_string())).await.unwrap();
            }
        }
    });
    for number in 0..MESSAGES {
        if number % (MESSAGES / 5) == MESSAGES / 10 {
            // SIGKILL, in the middle of the stream.
            drop(server);
            server = serve(folder.path(), &host);
            server.address();
        }
        match in_time(received.next()).await.unwrap().unwrap() {
            Update::Publication(publication) => {
                assert_eq!(publication.message, Payload::json(number.to_string()), "once and in order");
            }
            gap => panic!("before {number}: {gap:?}"),
        }
    }
    publishing.await.unwrap();
}

const MESSAGES: u64 = 500;

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(folder.path(), "127.0.0.1:0");
    server.address();
    let config = folder.path().join("wirehub.toml");
    let (status, error) =
        failure(&["serve", "--config", config.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("cannot open the data in") && error.contains("another process"), "{error}");
    let data = folder.path().join("data");
    let check = wirehub(&["data", "check", data.to_str().unwrap()]).output().unwrap();
    assert_eq!(check.status.code(), Some(1), "the running server uses it");
}

#[tokio::test]
async fn data_is_checked_and_repaired_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(folder.path(), "127.0.0.1:0");
    let host = server.address().strip_prefix("http://").unwrap().to_owned();
    let channel = ChannelName::new("kept:a").unwrap();
    let publisher = client(&host).await;
    for number in 0..10 {
        in_time(publisher.publish_raw(channel.clone(), Payload::json(number.to_string()))).await.unwrap();
    }
    drop(server);
    let data = folder.path().join("data");
    for command in ["check", "repair"] {
        let done = wirehub(&["data", command, data.to_str().unwrap()]).output().unwrap();
        let words = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && words.contains("in order"), "{words}");
    }
    let (status, error) = failure(&["data", "check", folder.path().join("none").to_str().unwrap()]);
    assert_eq!(status, Some(1), "{error}");
}

#[test]
fn the_engine_is_chosen_on_the_command_line_or_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("chosen");
    let mut server = Running::start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--engine",
        "disk",
        "--data",
        data.to_str().unwrap(),
    ]);
    server.address();
    assert!(data.is_dir());
    drop(server);
    let mut command = wirehub(&["serve", "--listen", "127.0.0.1:0"]);
    command.current_dir(folder.path()).env("WIREHUB_ENGINE", "disk");
    let mut server = Running::spawn(command);
    server.address();
    assert!(folder.path().join("wirehub-data").is_dir());
    let (status, error) = failure(&["serve", "--data", data.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(error.contains("add --engine disk"), "{error}");
    let (status, error) = failure(&["serve", "--engine", "tape"]);
    assert_eq!(status, Some(2));
    assert!(error.contains("memory or disk"), "{error}");
}
