//! The program `wirehub`: its output, its errors, its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wirehub_common::frame::{Connect, Push, ReplyBody, Request, ServerFrame};
use wirehub_common::{Codec, Payload};

use crate::program::{Running, failure, wirehub};
use crate::support::{Client, Received, http_at, publish, subscribe};

async fn connect(address: &str) -> Client {
    let host = address.strip_prefix("http://").unwrap();
    let mut client = Client::open_on(TcpStream::connect(host).await.unwrap(), Codec::Json).await;
    client.connected(Default::default()).await;
    client
}

#[tokio::test]
async fn it_serves_at_the_port_that_it_prints_and_stops_on_a_signal() {
    for signal in ["INT", "TERM"] {
        let mut server = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
        let mut client = connect(&server.address()).await;
        client.subscribe("any:channel").await;
        server.signal(signal);
        let Received::Frame(ServerFrame::Push(Push::Disconnect(disconnect))) = client.next().await else {
            panic!("no disconnect")
        };
        assert_eq!(disconnect.code.number(), 3000);
        assert_eq!(client.closed().await.0, 3000);
        assert!(server.child.wait().unwrap().success());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
    let mut client = connect(&server.address()).await;
    server.signal("TERM");
    // The close stays unanswered, so the first signal alone would wait.
    assert!(matches!(client.next().await, Received::Frame(_)));
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(1));
}

#[test]
fn it_serves_on_a_unix_socket_and_removes_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let listen = format!("unix:{}", path.display());
    let mut server = Running::start(&["serve", "--listen", &listen]);
    assert_eq!(server.address(), listen);
    assert!(path.exists());
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    assert!(!path.exists());
}

#[tokio::test]
async fn it_survives_running_out_of_file_descriptors() {
    let limited = format!("ulimit -n 24; exec {} serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_wirehub"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Running::spawn(command);
    let address = server.address();
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap());
    }
    let mut log = BufReader::new(server.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("cannot accept connections") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it has ended");
    }
    drop(crowd);
    connect(&address).await.subscribe("a").await;
}

#[tokio::test]
async fn each_foreign_origin_is_logged_once() {
    let mut server = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    let host = address.strip_prefix("http://").unwrap();
    for page in
        ["http://localhost:5173", "https://other.example", "chrome-extension://abc", "https://other.example"]
    {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {page}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 403");
    }
    // A page with a wrong path.
    let request = "GET /socket?token=hush HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    server.signal("TERM");
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(log.matches("may not connect").count(), 3, "{log}");
    for words in [
        "start the server with --allow-origin http://localhost:5173",
        "pages of https://other.example may not",
        "the browser's extension chrome-extension://abc may not",
        "\"/socket\"",
    ] {
        assert_eq!(log.matches(words).count(), 1, "{words} in: {log}");
    }
    assert!(!log.contains("hush"), "{log}");
}

#[tokio::test]
async fn channels_without_a_namespace_can_be_closed_by_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wirehub.toml");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[namespace.open]\n\
                [namespace.\"*\"]\nsubscribe = \"token-only\"\npublish = \"token-only\"\n";
    std::fs::write(&config, text).unwrap();
    let mut server = Running::start(&["serve", "--config", config.to_str().unwrap()]);
    let mut client = connect(&server.address()).await;
    client.subscribe("open:a").await;
    for closed in ["other:a", "none"] {
        assert_eq!(client.error(subscribe(closed, 1)).await, 103, "{closed}");
        assert_eq!(client.error(publish(closed, Payload::json("1"))).await, 103, "{closed}");
    }
}

#[test]
fn a_missing_folder_of_pages_is_reported_without_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wirehub.toml");
    std::fs::write(&config, "[server]\nlisten = \"127.0.0.1:0\"\nstatic = \"swordfish\"\n").unwrap();
    let config = config.to_str().unwrap();
    for arguments in [&["config", "check", config][..], &["serve", "--config", config]] {
        let (code, told) = failure(arguments);
        assert_eq!(code, Some(2));
        assert!(told.contains("line 3: `server.static`") && !told.contains("swordfish"), "{told}");
    }
}

#[test]
fn the_log_shows_the_access_settings_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("token.key"), "0123456789abcdef0123456789abcdef").unwrap();
    let config = "[server]\nlisten = \"127.0.0.1:0\"\n[limits]\nsessions_per_user = 3\n\
                  [[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"token.key\"\n\
                  [namespace.\"*\"]\nsubscribe = \"token-only\"\npublish = \"users\"\n";
    std::fs::write(path("wirehub.toml"), config).unwrap();
    for (arguments, expected) in [
        (
            ["--config", &path("wirehub.toml")],
            [
                "without TLS",
                "by tokens (1 of HS256)",
                "clients with the right in their token may subscribe, users may publish",
                "limits without effect: connections_per_address, handshakes_per_second, idle_timeout",
            ],
        ),
        (
            ["--listen", "127.0.0.1:0"],
            [
                "serving at 127.0.0.1:",
                "every client on this machine is admitted",
                "everybody may subscribe, everybody may publish",
                "engine: memory; a restart loses",
            ],
        ),
    ] {
        let mut server = Running::start(&[&["serve"], &arguments[..]].concat());
        server.address();
        server.signal("TERM");
        assert!(server.child.wait().unwrap().success());
        let mut log = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        for words in expected {
            assert!(log.contains(words), "{words} in: {log}");
        }
    }
}

#[tokio::test]
async fn without_a_page_it_says_how_to_get_one() {
    let mut server = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    let host = address.strip_prefix("http://").unwrap();
    let answer = http_at(host, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("--static DIR"), "{answer}");
}

#[test]
fn it_does_not_open_itself_to_the_network_by_default() {
    let (code, words) = failure(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(2));
    assert!(words.contains("--anonymous"), "{words}");
    let mut server = Running::start(&["serve", "--listen", "0.0.0.0:0", "--anonymous"]);
    assert!(server.address().starts_with("http://0.0.0.0:"));
}

#[test]
fn an_address_that_cannot_be_served_is_reported_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, code, words) in [
        (&["serve", "--listen", &taken][..], 1, "another program listens on"),
        (&["serve", "--listen", "192.0.2.1:1", "--anonymous"], 1, "choose an address of this machine"),
        (&["serve", "--listen", "unix:/no/such/directory/hub.sock"], 1, "a directory that exists"),
        (&["serve", "--static", "/no/such/directory"], 1, "correct --static"),
        (&["serve", "--static", "/etc/hostname"], 1, "is no directory"),
        (&["serve", "--listen", "localhost"], 2, "127.0.0.1:8080"),
        (&["serve", "--allow-origin", "example.com"], 2, "https://app.example"),
        (&["serve", "--no-such-option"], 2, "--help"),
        (&[], 2, "serve"),
    ] {
        let (status, stderr) = failure(arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_has_examples_and_the_version_is_printed() {
    let text = |arguments: &[&str]| {
        let output = wirehub(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(text(&["--help"]).contains("wirehub serve --static"));
    assert!(text(&["serve", "--help"]).contains("WIREHUB_LOG"));
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef wirehub"), ("fish", "complete -c wirehub")]
    {
        let script = text(&["completions", shell]);
        assert!(script.contains(sign) && script.contains("close-timeout"), "{shell}: {script}");
    }
    assert_eq!(text(&["--version"]).trim_end(), concat!("wirehub ", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_configuration_is_written_checked_and_served_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = path("wirehub.toml");
    let run = |arguments: &[&str]| wirehub(arguments).output().unwrap();
    assert!(run(&["config", "init", &config]).status.success());
    let again = run(&["config", "init", &config]);
    assert_eq!(again.status.code(), Some(2), "an existing file is not overwritten");
    assert!(run(&["config", "check", &config]).status.success());

    std::fs::write(path("secret.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(path("api.key"), "fedcba9876543210fedcba9876543210\n").unwrap();
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"secret.key\"\n\
                [[api.keys]]\nfile = \"api.key\"\n\
                [namespace.news]\nhistory_size = 5\nhistory_ttl = \"1m\"\npublish = \"token-only\"\n";
    std::fs::write(&config, text).unwrap();
    let token = |more: &[&str]| {
        let made = run(&[&["token", "--user", "ann", "--config", &config], more].concat());
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
    };

    let mut server = Running::start(&["serve", "--config", &config]);
    let address = server.address();
    let host = address.strip_prefix("http://").unwrap();
    let open = async || Client::open_on(TcpStream::connect(host).await.unwrap(), Codec::Json).await;
    let connect = |token: String| Connect { token, ..Connect::default() };
    let news = || publish("news:today", Payload::json("1"));

    let mut nobody = open().await;
    assert_eq!(nobody.error(Request::Connect(Connect::default())).await, 101);
    let mut reader = open().await;
    let connected = reader.connected(connect(token(&["--ttl", "5m"]))).await;
    assert_eq!(connected.user, "ann");
    assert!(connected.token_ttl > std::time::Duration::from_secs(290));
    assert_eq!(reader.error(news()).await, 103);
    let mut writer = open().await;
    writer.connected(connect(token(&["--publish", "news:*"]))).await;
    let ReplyBody::Published(published) = writer.ok(news()).await else { panic!("no answer") };
    assert_eq!(published.position.unwrap().offset, 1);
    let request = "GET /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Authorization: Bearer fedcba9876543210fedcba9876543210\r\n\r\n";
    assert!(http_at(host, request).await.contains("\"count\":2"));
    // No connection is left for the stop to wait for.
    drop((nobody, reader, writer));
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn an_invalid_configuration_is_reported_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wirehub.toml");
    std::fs::write(&config, "[server]\nlisen = \"127.0.0.1:0\"\n").unwrap();
    let config = config.to_str().unwrap();
    for arguments in
        [&["config", "check", config][..], &["serve", "--config", config], &["token", "--config", config]]
    {
        let (code, words) = failure(arguments);
        assert_eq!(code, Some(2));
        for word in [config, "line 2", "lisen", "listen"] {
            assert!(words.contains(word), "{word} in: {words}");
        }
    }
    let (code, words) = failure(&["serve", "--config", "/nowhere.toml"]);
    assert_eq!(code, Some(2));
    assert!(words.contains("config init"), "{words}");
}

#[test]
fn unusable_files_are_reported_by_name_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let config = folder.path().join("wirehub.toml");
    let config = config.to_str().unwrap();
    let pair = || rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (ours, other) = (pair(), pair());
    write("cert.pem", &ours.cert.pem());
    write("other.key", &other.signing_key.serialize_pem());
    write("short.key", "swordfish");
    std::fs::create_dir(folder.path().join("folder.key")).unwrap();
    let tls = |key: &str| format!("[tls]\ncertificate = \"cert.pem\"\nkey = \"{key}\"\n");
    let token = |key: &str| format!("[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"{key}\"\n");
    let api = |key: &str| format!("[[api.keys]]\nfile = \"{key}\"\n");
    for (text, code, words) in [
        (tls("other.key"), 1, &["other.key", "does not belong to the certificate", "cert.pem"][..]),
        (tls("none.key"), 1, &["none.key", "BEGIN PRIVATE KEY"]),
        (tls("cert.pem"), 1, &["cert.pem", "BEGIN PRIVATE KEY"]),
        (token("short.key"), 2, &["tokens.keys[0]", "32 bytes"]),
        (token("none.key"), 2, &["tokens.keys[0]", "none.key", "cannot read"]),
        (token("folder.key"), 2, &["tokens.keys[0]", "folder.key", "cannot read"]),
        (api("short.key"), 2, &["api.keys[0]", "openssl rand"]),
        (api("none.key"), 2, &["api.keys[0]", "none.key", "cannot read"]),
    ] {
        write("wirehub.toml", &format!("[server]\nlisten = \"127.0.0.1:0\"\n{text}"));
        let (checked, _) = failure(&["config", "check", config]);
        assert_eq!(checked, Some(2), "{text}");
        let (served, told) = failure(&["serve", "--config", config]);
        assert_eq!(served, Some(code), "{told}");
        for word in words {
            assert!(told.contains(word), "{word} in: {told}");
        }
        assert!(!told.contains("swordfish"), "{told}");
    }
}

#[tokio::test]
async fn a_client_on_the_command_line_publishes_subscribes_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wirehub.toml");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[namespace.kept]\nhistory_size = 5\nhistory_ttl = \"1m\"\n\
                presence = \"everybody\"\n";
    std::fs::write(&config, text).unwrap();
    let mut server = Running::start(&["serve", "--config", config.to_str().unwrap()]);
    let address = server.address();
    let url = format!("ws://{}/ws", address.strip_prefix("http://").unwrap());

    let mut listener = connect(&address).await;
    listener.subscribe("kept:a").await;
    let mut subscriber = wirehub(&["sub", "--json", &url, "kept:a"]).spawn().unwrap();
    let mut heard = BufReader::new(subscriber.stdout.take().unwrap());
    let mut line = String::new();
    // Presence shows when it has subscribed.
    let present = || {
        let told = wirehub(&["presence", &url, "kept:a"]).output().unwrap();
        String::from_utf8(told.stdout).unwrap().lines().count()
    };
    while present() < 2 {}
    let published = wirehub(&["pub", &url, "kept:a", r#"{"n":1}"#]).output().unwrap();
    assert!(published.status.success(), "{published:?}");
    heard.read_line(&mut line).unwrap();
    let message: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&message["data"]["n"], &message["offset"]), (&1.into(), &1.into()));
    assert_eq!(listener.publication().await.offset, 1);

    // Each line of the input is a message.
    let mut publisher = wirehub(&["pub", &url, "kept:b"]).stdin(Stdio::piped()).spawn().unwrap();
    publisher.stdin.take().unwrap().write_all(b"1\n\"zwei\"\n3").unwrap();
    assert!(publisher.wait().unwrap().success());
    let history = wirehub(&["history", "--json", &url, "kept:b"]).output().unwrap();
    let kept = String::from_utf8(history.stdout).unwrap();
    let kept: Vec<serde_json::Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let data: Vec<_> = kept.iter().map(|message| message["data"].clone()).collect();
    assert_eq!(data, [serde_json::json!(1), "zwei".into(), 3.into()]);

    let history = wirehub(&["history", &url, "kept:a"]).output().unwrap();
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(history.starts_with("1\t20") && history.ends_with("Z\t\t{\"n\":1}\n"), "{history}");
    let (code, words) = failure(&["call", &url, "none"]);
    assert_eq!(code, Some(1));
    assert!(words.contains("no such call"), "{words}");
    let (code, words) = failure(&["pub", &url, "kept:a", "{"]);
    assert_eq!(code, Some(1));
    assert!(words.contains("JSON"), "{words}");
    assert!(
        Command::new("kill").args(["-s", "INT", &subscriber.id().to_string()]).status().unwrap().success()
    );
    assert!(subscriber.wait().unwrap().success());
    drop(listener);
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    let (code, words) = failure(&["pub", &url, "kept:a", "1"]);
    assert_eq!(code, Some(1));
    assert!(words.contains("no connection"), "{words}");
}

#[tokio::test]
async fn the_log_can_be_read_by_programs() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wirehub.toml");
    std::fs::write(&config, "[server]\nlisten = \"127.0.0.1:0\"\nlog = \"debug\"\nlog_format = \"json\"\n")
        .unwrap();
    let mut server = Running::start(&["serve", "--config", config.to_str().unwrap()]);
    drop(connect(&server.address()).await);
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    let mut lines = BufReader::new(server.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let connected = lines.find(|line| line.contains("connected")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&connected).unwrap();
    assert_eq!((&entry["level"], &entry["fields"]["message"]), (&"DEBUG".into(), &"connected".into()));
    std::fs::write(&config, "[server]\nlog = \"wirehub_server=loud\"\n").unwrap();
    let (code, words) = failure(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(words.contains("server.log"), "{words}");
}

#[test]
fn a_client_on_the_command_line_closes_properly_however_it_ends() {
    let mut command = wirehub(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("WIREHUB_LOG", "wirehub=debug");
    let mut server = Running::spawn(command);
    let url = format!("ws://{}/ws", server.address().strip_prefix("http://").unwrap());
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut logged = |words: &str| log.find(|line| line.contains(words)).unwrap();

    let mut interrupted = wirehub(&["sub", &url, "a"]).spawn().unwrap();
    logged("connected");
    let id = interrupted.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    assert!(interrupted.wait().unwrap().success());
    let end = logged("session ends");
    assert!(end.contains("Closed"), "{end}");

    // As with `wirehub sub … | head -1`.
    let mut unread = wirehub(&["sub", "--json", &url, "a"]).spawn().unwrap();
    drop(unread.stdout.take());
    logged("connected");
    // It may subscribe after the first publication.
    let ended = (0..1000).find_map(|_| {
        assert!(wirehub(&["pub", &url, "a", "1"]).status().unwrap().success());
        unread.try_wait().unwrap()
    });
    assert!(ended.unwrap().success(), "a reader that ends is not a failure");
}
