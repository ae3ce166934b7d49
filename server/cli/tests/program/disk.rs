//! The program with the engine on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use wirehub_client::{Address, Client, Config, Subscription, Update};
use wirehub_common::frame::History;
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
    serve_with(folder, listen, CONFIG)
}

fn serve_with(folder: &Path, listen: &str, settings: &str) -> Running {
    let config = folder.join("wirehub.toml");
    std::fs::write(&config, settings).unwrap();
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
    // SIGKILL.
    Stream { messages: 500, at_once: 1, restarts: 5 }.survives(async |server| drop(server)).await;
}

#[tokio::test]
async fn a_server_that_is_stopped_and_started_loses_and_doubles_no_message() {
    // Many publishes at once: at the signal the server has not read some of them.
    let stream = Stream { messages: 4000, at_once: 50, restarts: 4 };
    let stop = async |mut server: Running| {
        server.signal("TERM");
        let ended = tokio::task::spawn_blocking(move || server.child.wait()).await.unwrap();
        assert!(ended.unwrap().success());
    };
    stream.survives(stop).await;
}

/// Messages from a publisher to a subscriber, through a server that ends and starts again between them.
struct Stream {
    messages: u64,
    /// The publishes that wait for their answers at the same time.
    at_once: u64,
    restarts: u64,
}

impl Stream {
    /// Ends the server in this way, again and again. Every message arrives once and in order, and without a gap.
    async fn survives(self, end: impl AsyncFn(Running)) {
        let Self { messages, at_once, restarts } = self;
        let folder = tempfile::tempdir().unwrap();
        let mut server = serve(folder.path(), "127.0.0.1:0");
        let host = server.address().strip_prefix("http://").unwrap().to_owned();
        let channel = ChannelName::new("kept:stream").unwrap();
        let (publisher, subscriber) = (client(&host).await, client(&host).await);
        let mut received = subscriber.subscribe_raw(channel.clone()).unwrap();
        in_time(received.ready()).await.unwrap();
        let publishing = tokio::spawn(async move {
            let publisher = publisher.with_timeout(Duration::from_secs(60));
            for begin in (0..messages).step_by(usize::try_from(at_once).unwrap()) {
                // The client repeats a publish with its key after a reconnect.
                let publishes = (begin..begin + at_once)
                    .map(|number| publisher.publish_raw(channel.clone(), Payload::json(number.to_string())));
                futures_util::future::try_join_all(publishes).await.unwrap();
            }
        });
        let each = messages / restarts;
        for number in 0..messages {
            if number % each == each / 2 {
                end(server).await;
                server = serve(folder.path(), &host);
                server.address();
            }
            hears(&mut received, number).await;
        }
        publishing.await.unwrap();
    }
}

/// The next update is the message with this number.
async fn hears(received: &mut Subscription<Payload>, number: u64) {
    match in_time(received.next()).await.unwrap().unwrap() {
        Update::Publication(publication) => {
            assert_eq!(publication.message, Payload::json(number.to_string()), "once and in order");
        }
        gap => panic!("before {number}: {gap:?}"),
    }
}

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

/// Runs the program with a key of the API.
async fn with_key(arguments: &[&str]) -> (bool, String) {
    let mut command = wirehub(arguments);
    command.env("WIREHUB_API_KEY", KEY);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_backup_during_publishes_has_every_message_that_was_acknowledged_before() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("api.key"), KEY).unwrap();
    let settings =
        CONFIG.replace("[disk]", "[[api.keys]]\nfile = \"api.key\"\n[disk]\nbackups = \"backups\"");
    let mut server = serve_with(folder.path(), "127.0.0.1:0", &settings);
    let url = server.address();
    let host = url.strip_prefix("http://").unwrap().to_owned();
    let publisher = client(&host).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let publishing = tokio::spawn({
        let acknowledged = Arc::clone(&acknowledged);
        async move {
            for number in 1.. {
                for channel in ["kept:a".to_owned(), format!("kept:{number}")] {
                    let channel = ChannelName::new(&channel).unwrap();
                    publisher.publish_raw(channel, Payload::json(number.to_string())).await.unwrap();
                }
                acknowledged.store(number, Ordering::SeqCst);
            }
        }
    });
    while acknowledged.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    let before = acknowledged.load(Ordering::SeqCst);
    let (is_done, words) = with_key(&["data", "backup", "--to", "one", &url]).await;
    assert!(is_done, "{words}");
    assert!(acknowledged.load(Ordering::SeqCst) > before, "publishing went on");
    let (is_done, words) = with_key(&["data", "backup", "--to", "one", &url]).await;
    assert!(!is_done && words.contains("exists already"), "{words}");
    for wrong in ["../two", "/tmp/two", ".two", ""] {
        let (is_done, words) = with_key(&["data", "backup", "--to", wrong, &url]).await;
        assert!(!is_done && words.contains("no name for a backup"), "{words}");
    }
    publishing.abort();
    drop(server);
    let backups = folder.path().join("backups");
    assert_eq!(std::fs::read_dir(&backups).unwrap().count(), 1, "nothing else is left there");
    let copied = backups.join("one");
    let check = wirehub(&["data", "check", copied.to_str().unwrap()]).output().unwrap();
    assert!(check.status.success(), "{check:?}");
    let settings = CONFIG.replace("path = \"data\"", "path = \"backups/one\"");
    let mut server = serve_with(folder.path(), "127.0.0.1:0", &settings);
    let reader = client(server.address().strip_prefix("http://").unwrap()).await;
    // A new channel does not share anything with an old one.
    let new = ChannelName::new("kept:new").unwrap();
    in_time(reader.publish_raw(new.clone(), Payload::json("0"))).await.unwrap();
    let mut channels: Vec<_> = (1..=before).map(|number| (format!("kept:{number}"), number)).collect();
    channels.push(("kept:new".to_owned(), 0));
    for (channel, number) in channels {
        let channel = ChannelName::new(&channel).unwrap();
        let request = History { channel, since: None, limit: 10, reverse: false };
        let page = in_time(reader.history_raw(request)).await.unwrap();
        let messages: Vec<_> = page.publications.into_iter().map(|it| it.payload).collect();
        assert_eq!(messages, [Payload::json(number.to_string())]);
    }
}

#[tokio::test]
async fn a_server_without_a_place_for_backups_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("api.key"), KEY).unwrap();
    let settings = CONFIG.replace("[disk]", "[[api.keys]]\nfile = \"api.key\"\n[disk]");
    let mut server = serve_with(folder.path(), "127.0.0.1:0", &settings);
    let (is_done, words) = with_key(&["data", "backup", "--to", "one", &server.address()]).await;
    assert!(!is_done && words.contains("`backups = "), "{words}");
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
    assert!(error.contains("memory, disk or redis"), "{error}");
}
