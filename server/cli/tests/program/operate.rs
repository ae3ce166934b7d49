//! `wirehub sessions`, `wirehub channels` and `wirehub nodes`, against a real server.

use std::process::Output;

use serde_json::Value;
use wirehub_common::frame::{Connect, Request, Subscribe};
use wirehub_common::{Codec, Limits};
use wirehub_server::api::ApiKey;
use wirehub_server::auth::Authenticated;
use wirehub_server::{Hub, Listener, Tls, api, router};

use crate::program::wirehub;
use crate::support::{Client, Server, in_time, name, open_hub};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Runs the program against the server in this process.
async fn run(arguments: &[&str]) -> Output {
    let mut command = wirehub(arguments);
    command.env("WIREHUB_API_KEY", KEY);
    in_time(tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap()
}

fn lines(output: &Output) -> Vec<&str> {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap().lines().collect()
}

fn hub() -> Hub {
    let limits = Limits { channels: 2000, ..Limits::default() };
    open_hub()
        .limits(limits)
        .node_name("the one")
        .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
        .build()
}

async fn client(server: &Server, user: &str) -> (Client, String) {
    let mut client = Client::open(server, Codec::Json).await;
    let session = client.connected(Connect { token: user.into(), ..Connect::default() }).await.session;
    (client, session)
}

#[tokio::test]
async fn operators_see_sessions_and_channels() {
    let hub = hub();
    let app = router(&hub).merge(api(&hub, [ApiKey::new(KEY).unwrap()]));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let url = format!("http://{}", server.host());
    let (mut ann, session) = client(&server, "ann").await;
    let (_bob, _) = client(&server, "a&b c").await;
    // More than one page of them.
    let mut commands = Vec::new();
    for number in 0..1005 {
        let channel = name(&format!("many:{number:04}"));
        commands.push(ann.command(Request::Subscribe(Subscribe {
            channel,
            number: 1,
            position: None,
            history: 0,
        })));
    }
    ann.send(commands).await;
    ann.subscribe("last").await;

    let output = run(&["sessions", "--user", "ann", &url]).await;
    let [row] = lines(&output)[..] else { panic!("{output:?}") };
    let fields: Vec<&str> = row.split('\t').collect();
    assert_eq!((fields[0], fields[1], fields[2], fields[4]), (&*session, "ann", "127.0.0.1", "1006"));
    let output = run(&["sessions", "--json", "--user", "a&b c", &url]).await;
    let shown: Value = serde_json::from_str(lines(&output)[0]).unwrap();
    assert_eq!((&shown["user"], &shown["channels"]), (&"a&b c".into(), &0.into()));
    assert_eq!(lines(&run(&["sessions", &url]).await).len(), 2);

    let output = run(&["channels", "--prefix", "many:", "--limit", "2000", &url]).await;
    let channels = lines(&output);
    assert_eq!(
        (channels.len(), channels[0], channels[1004]),
        (1005, "many:0000\t1\t0\t", "many:1004\t1\t0\t")
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("more"), "these are all of them");
    let output = run(&["channels", "--limit", "3", &url]).await;
    assert_eq!(lines(&output).len(), 3);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("there are more") && told.contains("--after many:0001"), "{told}");
    let output = run(&["channels", "--limit", "3", "--after", "many:0001", &url]).await;
    assert!(lines(&output)[0].starts_with("many:0002\t"), "{output:?}");

    let output = run(&["nodes", &url]).await;
    let [row] = lines(&output)[..] else { panic!("{output:?}") };
    let fields: Vec<&str> = row.split('\t').collect();
    let expected = ["the one", env!("CARGO_PKG_VERSION"), "2", "1006", "running"];
    assert_eq!([fields[1], fields[2], fields[4], fields[5], fields[6]], expected);
    let output = run(&["nodes", "--json", &url]).await;
    let shown: Value = serde_json::from_str(lines(&output)[0]).unwrap();
    assert_eq!((&shown["node"], &shown["name"]), (&fields[0].into(), &"the one".into()));
}

#[tokio::test]
async fn it_connects_over_tls_and_socket_files_and_reports_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls = Tls::from_files(path("cert.pem"), path("key.pem")).unwrap();
    let (over_tls, over_unix) = (hub(), hub());
    let app = |hub: &Hub| router(hub).merge(api(hub, [ApiKey::new(KEY).unwrap()]));
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap().with_tls(tls);
    let served = app(&over_tls);
    let server = Server::start_on(listener, over_tls, served);
    let (ca, host) = (path("cert.pem"), server.host());
    let url = format!("https://localhost:{}", host.rsplit(':').next().unwrap());
    assert_eq!(lines(&run(&["sessions", "--ca", &ca, &url]).await), [""; 0]);

    let listen = format!("unix:{}", path("hub.sock"));
    let served = app(&over_unix);
    let _server = Server::start_app(over_unix, served, &listen).await;
    assert_eq!(lines(&run(&["channels", &listen]).await), [""; 0]);

    std::fs::write(path("other.key"), "ffffffffffffffffffffffffffffffff").unwrap();
    let bare = Server::start(hub()).await;
    let bare = format!("http://{}", bare.host());
    for (arguments, code, words) in [
        (
            &["sessions", "--key-file", &path("other.key"), &listen][..],
            1,
            "needs one of the server's API keys",
        ),
        (&["sessions", "--key-file", "/nowhere", &listen], 1, "cannot read the key"),
        (&["sessions", "--key-file", &path("cert.pem"), &listen], 1, "openssl rand"),
        (&["sessions", &url], 1, "no connection"),
        (&["sessions", &bare], 1, "is its HTTP API enabled?"),
        (&["channels", "ws://127.0.0.1:1"], 2, "http://HOST:PORT"),
    ] {
        let output = run(arguments).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
        assert!(!told.contains(KEY) && !told.contains("ffff"), "keys are shown nowhere: {told}");
    }
}
