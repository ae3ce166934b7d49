//! The example backend in Node.js with the program, as in the documentation.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;
use wirehub_common::frame::{Called, Connect, Push, ReplyBody, Request, ServerFrame};
use wirehub_common::{Codec, Payload};

use crate::program::Running;
use crate::support::{Client, Received, call, publish, subscribe};

/// A process that ends with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn open(host: &str) -> Client {
    Client::open_on(TcpStream::connect(host).await.unwrap(), Codec::Json).await
}

fn token(token: &str) -> Connect {
    Connect { token: token.into(), ..Connect::default() }
}

fn text(text: &str) -> Payload {
    Payload::json(format!(r#"{{"text":"{text}"}}"#))
}

#[tokio::test]
async fn the_example_decides_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("webhooks.key");
    fs::write(&key, "0123456789abcdef0123456789abcdef0123456789ab\n").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backend.mjs");
    let mut node =
        Command::new("node").arg(script).arg(&key).arg("0").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines().map(Result::unwrap);
    let _node = Node(node);
    let line = lines.next().unwrap();
    let backend = line.strip_prefix("listening on ").unwrap();

    let at = format!("url = \"{backend}/wirehub\"");
    let config = folder.path().join("wirehub.toml");
    let write = |secret: &str| {
        let text = format!(
            "[webhooks]\nsecret = {secret}\n[webhooks.connect]\n{at}\n[[webhooks.subscribe]]\npattern = \"room:*\"\n{at}\n\
             [[webhooks.publish]]\npattern = \"room:*\"\n{at}\n[[webhooks.calls]]\npattern = \"billing.*\"\n{at}\n\
             [webhooks.events]\n{at}\n"
        );
        fs::write(&config, text).unwrap();
    };
    let serve =
        || Running::start(&["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()]);
    write("{ file = \"webhooks.key\" }");
    let mut server = serve();
    let host = server.address().strip_prefix("http://").unwrap().to_owned();

    let mut ann = open(&host).await;
    let error = ann.request(Request::Connect(token("NOBODY"))).await.result.unwrap_err();
    assert_eq!((error.code.number(), &*error.message), (101, "the token must be a name"));
    let connected = ann.connected(token("ann")).await;
    assert_eq!((&*connected.user, connected.token_ttl.as_secs()), ("ann", 3600));
    let Received::Frame(ServerFrame::Push(Push::Subscribed(own))) = ann.next().await else {
        panic!("no push")
    };
    assert_eq!(own.channel.as_str(), "@ann");

    assert_eq!(ann.error(subscribe("room:staff", 1)).await, 103);
    ann.subscribe("room:a").await;
    ann.ok(publish("room:a", text("Hi"))).await;
    assert_eq!(ann.publication().await.payload, text("Hi"));
    ann.ok(publish("room:a", text("HEY"))).await;
    assert_eq!(ann.publication().await.payload, text("hey"));
    assert_eq!(ann.error(publish("room:a", Payload::json("1"))).await, 1001);
    let sum = ann.ok(call("billing.sum", Payload::json("[1,2,3.5]"))).await;
    assert_eq!(sum, ReplyBody::Called(Called { payload: Payload::json("6.5"), more: false }));
    assert_eq!(ann.error(call("billing.other", Payload::json("[]"))).await, 104);

    let mut admin = open(&host).await;
    admin.connected(token("admin")).await;
    admin.subscribe("room:staff").await;

    let told = ["ann connected", "ann subscribed @ann", "ann subscribed room:a", "admin connected"];
    assert_eq!(lines.by_ref().take(4).collect::<Vec<_>>(), told);

    // A server with another secret gets no answer.
    fs::write(folder.path().join("other.key"), "another secret that is long enough, and wrong").unwrap();
    write("{ file = \"other.key\" }");
    let mut stranger = serve();
    let host = stranger.address().strip_prefix("http://").unwrap().to_owned();
    assert_eq!(open(&host).await.error(Request::Connect(token("swordfish"))).await, 128);
    stranger.signal("TERM");
    stranger.child.wait().unwrap();
    let mut log = String::new();
    stranger.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("the webhook for connect") && log.contains("400 Bad Request"), "{log}");
    assert!(!log.contains("swordfish") && !log.contains("another secret"), "{log}");
}
