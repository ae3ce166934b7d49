//! SIGHUP: the settings that a running server applies, and its reaction to a broken configuration.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use wirehub_common::frame::{Connect, Request};
use wirehub_common::{Codec, Payload};
use wirehub_server::call::{CallError, RawCall};

use crate::backend::{Backend, ReceivedRequest};
use crate::key_sets::token_and_key_set;
use crate::program::{Running, failure, wirehub};
use crate::support::{CODECS, Client, Server, call, http_at, in_time, open_hub, publish, subscribe, until};

const OLD_KEY: &str = "0123456789abcdef0123456789abcdef";
const NEW_KEY: &str = "fedcba9876543210fedcba9876543210";

/// A server with its configuration in a folder of its own.
struct Configured {
    folder: tempfile::TempDir,
    server: Running,
    log: BufReader<ChildStderr>,
    host: String,
}

impl Configured {
    fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let config = folder.path().join("wirehub.toml");
        let mut server = Running::start(&["serve", "--config", config.to_str().unwrap()]);
        let log = BufReader::new(server.child.stderr.take().unwrap());
        let address = server.address();
        let host = address.split_once("://").unwrap().1.to_owned();
        Self { folder, server, log, host }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Reloads the configuration and returns the server's log line about it.
    fn reload(&mut self) -> String {
        self.server.signal("HUP");
        self.log_line("the configuration ")
    }

    /// The next line of the log with these words.
    fn log_line(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "it has ended");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn token(&self) -> String {
        let made =
            wirehub(&["token", "--user", "ann", "--config", &self.path("wirehub.toml")]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
    }

    async fn open(&self) -> Client {
        Client::open_on(TcpStream::connect(&self.host).await.unwrap(), Codec::Json).await
    }

    /// Returns whether a page of this origin may connect.
    async fn lets_in(&self, origin: &str) -> bool {
        let mut request = "ws://localhost/ws".into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match in_time(client_async(request, TcpStream::connect(&self.host).await.unwrap())).await {
            Ok(_) => true,
            Err(Error::Http(response)) if response.status() == 403 => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        http_at(&self.host, &request).await
    }
}

fn connect(token: &str) -> Connect {
    Connect { token: token.into(), ..Connect::default() }
}

const CONFIG: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\
                      [limits]\nchannels = 1\n\
                      [[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"token.key\"\n\
                      [[api.keys]]\nfile = \"api.key\"\n\
                      [namespace.chat]\nhistory_size = 5\nhistory_ttl = \"1m\"\n";

fn configured() -> Configured {
    Configured::start(&[("wirehub.toml", CONFIG), ("token.key", OLD_KEY), ("api.key", OLD_KEY)])
}

#[tokio::test]
async fn keys_limits_origins_and_the_log_change_and_other_settings_are_named() {
    let mut server = configured();
    let old_token = server.token();
    let mut before = server.open().await;
    before.connected(connect(&old_token)).await;
    before.subscribe("a").await;
    assert!(!server.lets_in("https://app.example").await);

    let new = CONFIG.replace("channels = 1", "channels = 2").replace("history_size = 5", "history_size = 6");
    let new = new.replace("[limits]", "log = \"debug\"\nallow_origins = [\"https://app.example\"]\n[limits]");
    server.write("wirehub.toml", &new);
    server.write("token.key", NEW_KEY);
    server.write("api.key", NEW_KEY);
    let told = server.reload();
    assert!(
        told.contains("WARN") && told.trim_end().ends_with("restart: namespace.chat.history_size"),
        "{told}"
    );

    // The open session keeps its limits.
    assert_eq!(before.error(subscribe("b", 1)).await, 106);
    let mut after = server.open().await;
    assert_eq!(after.error(Request::Connect(connect(&old_token))).await, 101);
    let connected = after.connected(connect(&server.token())).await;
    assert_eq!(connected.limits.channels, 2);
    server.log_line("DEBUG");
    let page = |text: String| text.lines().next().unwrap().to_owned();
    let sessions = async |key: &str| {
        page(server.get("/api/v1/sessions", &format!("Authorization: Bearer {key}\r\n")).await)
    };
    assert!(sessions(OLD_KEY).await.contains("401"));
    assert!(sessions(NEW_KEY).await.contains("200"));
    assert!(server.lets_in("https://app.example").await);
}

#[tokio::test]
async fn events_are_signed_with_the_new_secret_also_waiting_ones() {
    let backend = Backend::start(async |asked: ReceivedRequest| {
        let is_new = asked.is_signed(NEW_KEY.as_bytes());
        if is_new { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    })
    .await;
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[webhooks]\nsecret = {{ file = \"webhooks.key\" }}\n\
         [webhooks.events]\nurl = \"{}\"\n",
        backend.url
    );
    let mut server = Configured::start(&[("wirehub.toml", &config), ("webhooks.key", OLD_KEY)]);
    let kinds_of = |asked: &ReceivedRequest| -> Vec<String> {
        let told = asked.json();
        told["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["kind"].as_str().unwrap().into())
            .collect()
    };
    let mut client = server.open().await;
    client.connected(Connect::default()).await;
    until(|| !backend.requests().is_empty()).await;
    assert!(backend.requests()[0].is_signed(OLD_KEY.as_bytes()));

    server.write("webhooks.key", "short");
    assert!(server.reload().contains("stays as it was"));
    server.write("webhooks.key", NEW_KEY);
    let told = server.reload();
    assert!(told.contains("is in force") && !told.contains("restart"), "{told}");
    let taken = || backend.requests().into_iter().find(|asked| asked.is_signed(NEW_KEY.as_bytes()));
    until(|| taken().is_some()).await;
    let first = backend.requests().remove(0);
    let taken = taken().unwrap();
    assert_eq!(taken.json()["id"], first.json()["id"]);
    assert_eq!(kinds_of(&taken), ["connected"]);
}

#[tokio::test]
async fn fetched_keys_stay_in_use_until_new_ones_have_come() {
    let ((old, old_set), (new, new_set)) = (token_and_key_set(), token_and_key_set());
    let published = Arc::new(Mutex::new(Some(old_set)));
    let backend = {
        let published = Arc::clone(&published);
        Backend::start(move |_| {
            let set = published.lock().clone().map(Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR);
            std::future::ready(set)
        })
        .await
    };
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[[tokens.keys]]\nkey_set_url = \"{}/jwks.json\"\n",
        backend.url
    );
    let mut server = Configured::start(&[("wirehub.toml", &config)]);
    server.open().await.connected(connect(&old)).await;

    // The publisher of the keys is down.
    *published.lock() = None;
    let asked = backend.requests().len();
    in_time(async {
        // Fetches are at least two seconds apart.
        while backend.requests().len() == asked {
            assert!(server.reload().contains("is in force"));
            server.open().await.connected(connect(&old)).await;
        }
    })
    .await;
    assert!(server.get("/ready", "").await.starts_with("HTTP/1.1 200"));

    // The old key is withdrawn.
    *published.lock() = Some(new_set);
    in_time(async {
        while server.open().await.request(Request::Connect(connect(&old))).await.result.is_ok() {
            server.reload();
        }
    })
    .await;
    server.open().await.connected(connect(&new)).await;
}

#[tokio::test]
async fn a_broken_configuration_is_reported_and_the_old_one_stays() {
    let mut server = configured();
    let token = server.token();
    let listening = server.host.clone();
    for (name, text, words) in [
        ("wirehub.toml", "[limits]\nchanels = 2\n", &["line 2", "chanels"][..]),
        ("wirehub.toml", "[limits]\nping_interval = \"25\"\n", &["line 2", "not a time"]),
        ("wirehub.toml", "[proxy]\ntrusted = [\"proxy.example\"]\n", &["proxy.trusted"]),
        ("wirehub.toml", "[server]\nlog = \"wirehub_server=loud\"\n", &["server.log"]),
        ("wirehub.toml", "[server]\nlisten = \"here\"\n", &["server.listen"]),
        ("wirehub.toml", "[admin]\nenabled = true\n", &["admin.enabled"]),
        ("wirehub.toml", "[namespace.chat]\nhistory_size = 10\n", &["namespace.chat"]),
        ("token.key", "short", &["tokens.keys[0]", "32 bytes"]),
        ("api.key", "short", &["api.keys[0]"]),
    ] {
        server.write(name, text);
        let told = server.reload();
        assert!(told.contains("ERROR") && told.contains("stays as it was"), "{told}");
        // A report of several lines is logged in several lines.
        let (code, checked) = failure(&["config", "check", &server.path("wirehub.toml")]);
        assert_eq!(code, Some(2));
        for word in words {
            let told = told.contains(word) || server.log_line(word).contains(word);
            assert!(told && checked.contains(word), "{word} in: {checked}");
        }
        for (name, text) in [("wirehub.toml", CONFIG), ("token.key", OLD_KEY), ("api.key", OLD_KEY)] {
            server.write(name, text);
        }
        let mut client = server.open().await;
        client.connected(connect(&token)).await;
        assert_eq!(server.host, listening);
    }
    std::fs::remove_file(server.path("token.key")).unwrap();
    assert!(server.reload().contains("token.key"));
    server.open().await.connected(connect(&token)).await;
}

#[tokio::test]
async fn a_configuration_that_would_admit_everybody_is_refused() {
    let open =
        "[server]\nlisten = \"0.0.0.0:0\"\n[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"token.key\"\n";
    let mut server = Configured::start(&[("wirehub.toml", open), ("token.key", OLD_KEY)]);
    server.write("wirehub.toml", "[server]\nlisten = \"0.0.0.0:0\"\n");
    let told = server.reload();
    assert!(told.contains("stays as it was") && told.contains("--anonymous"), "{told}");
}

/// For instance behind a proxy on the same machine, where the address protects nothing.
#[tokio::test]
async fn a_configuration_that_has_lost_a_restriction_is_refused() {
    let mut server = configured();
    let token = server.token();
    let config = server.path("wirehub.toml");
    let halves = CONFIG.match_indices('\n').map(|(end, _)| CONFIG[..end].to_owned());
    let mut lost: Vec<String> = halves.filter(|half| !half.contains("token.key")).collect();
    lost.push(String::new());
    lost.push("# nothing\n".into());
    lost.push(CONFIG.replace("channels = 1", ""));
    for text in lost {
        server.write("wirehub.toml", &text);
        let told = server.reload();
        assert!(told.contains("ERROR") && told.contains("stays as it was"), "{text}: {told}");
        assert_eq!(server.open().await.error(Request::Connect(Connect::default())).await, 101);
        server.open().await.connected(connect(&token)).await;
    }

    // Nothing is written to it, so a reader would wait.
    std::fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    let told = server.reload();
    assert!(told.contains("stays as it was") && told.contains("cannot be read a second time"), "{told}");
    server.open().await.connected(connect(&token)).await;

    // An explicit setting is applied.
    std::fs::remove_file(&config).unwrap();
    server.write(
        "wirehub.toml",
        "[server]\nlisten = \"127.0.0.1:0\"\nanonymous = true\n[limits]\nchannels = 0\n",
    );
    let told = server.reload();
    assert!(told.contains("is in force"), "{told}");
    server.open().await.connected(Connect::default()).await;
    // The comparison is with the configuration in force, not the first one.
    server.write("wirehub.toml", "[server]\nlisten = \"127.0.0.1:0\"\nanonymous = true\n");
    let told = server.reload();
    assert!(told.contains("is in force"), "{told}");
}

#[tokio::test]
async fn a_server_continues_while_a_file_does_not_arrive() {
    let mut server = configured();
    let token = server.token();
    let key = server.path("token.key");
    std::fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    server.server.signal("HUP");
    server.open().await.connected(connect(&token)).await;
    let told = server.log_line("the configuration ");
    assert!(told.contains("stays as it was") && told.contains("10 s"), "{told}");
    let told = server.reload();
    assert!(told.contains("stays as it was") && told.contains("still being read"), "{told}");
    server.open().await.connected(connect(&token)).await;
    server.server.signal("TERM");
    assert!(server.server.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_configuration_from_a_pipe_survives_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("token.key");
    std::fs::write(&key, OLD_KEY).unwrap();
    let config = format!("[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"{}\"\n", key.display());
    let program = env!("CARGO_BIN_EXE_wirehub");
    // As a program that decrypts it would pass it.
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {program} serve --listen 127.0.0.1:0 --config /dev/fd/3 3<&0")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Running::spawn(command);
    server.child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    let host = server.address().split_once("://").unwrap().1.to_owned();
    let log = BufReader::new(server.child.stderr.take().unwrap());
    let mut server = Configured { folder, server, log, host };
    let told = server.reload();
    assert!(told.contains("stays as it was") && told.contains("restart the server"), "{told}");
    assert_eq!(server.open().await.error(Request::Connect(Connect::default())).await, 101);
}

#[tokio::test]
async fn a_new_certificate_is_used_at_once() {
    let pair = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let ((old, old_key), (new, new_key)) = (pair(), pair());
    let config = |name: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[tls]\ncertificate = \"{name}.pem\"\nkey = \"{name}.key\"\n"
        )
    };
    let files = [("wirehub.toml", &*config("old")), ("old.pem", &old), ("old.key", &old_key)];
    let mut server = Configured::start(&files);
    assert!(is_shown(&server.host, server.folder.path(), "old.pem").await);

    server.write("new.pem", &new);
    server.write("new.key", &old_key);
    server.write("wirehub.toml", &config("new"));
    let told = server.reload();
    assert!(
        told.contains("stays as it was") && told.contains("does not belong to the certificate"),
        "{told}"
    );
    assert!(is_shown(&server.host, server.folder.path(), "old.pem").await);

    server.write("new.key", &new_key);
    let told = server.reload();
    assert!(told.contains("is in force") && !told.contains("restart"), "{told}");
    assert!(is_shown(&server.host, server.folder.path(), "new.pem").await);
    assert!(!is_shown(&server.host, server.folder.path(), "old.pem").await);
}

/// Returns whether a client that trusts this certificate alone can connect.
async fn is_shown(host: &str, folder: &Path, certificate: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(certificate)).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(host).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    in_time(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.is_ok()
}

#[tokio::test]
async fn new_hooks_decide_about_open_sessions() {
    let refuse = async |_, _| Err(CallError::application::<1001>("not any more"));
    let forward = async |_, call: RawCall| Ok(call.payload);
    let server = Server::start(open_hub().call_any("old.*".parse().unwrap(), forward).build()).await;
    for codec in CODECS {
        server.hub.update(|live| {
            live.clear_hooks().call_any("old.*".parse().unwrap(), forward);
        });
        let mut client = Client::connect(&server, codec).await;
        client.ok(publish("a", Payload::json("1"))).await;
        client.ok(call("old.one", Payload::json("1"))).await;
        server.hub.update(|live| {
            live.clear_hooks()
                .authorize_publish("a".parse().unwrap(), refuse)
                .authorize_subscribe("b".parse().unwrap(), async |_, _| {
                    Err(CallError::application::<1002>("no"))
                })
                .call_any("new.*".parse().unwrap(), forward);
        });
        assert_eq!(client.error(publish("a", Payload::json("1"))).await, 1001);
        assert_eq!(client.error(subscribe("b", 1)).await, 1002);
        assert_eq!(client.error(call("old.one", Payload::json("1"))).await, 104);
        client.ok(call("new.one", Payload::json("1"))).await;
    }
}

#[test]
fn a_server_without_a_configuration_ends_with_its_terminal_unless_hangups_are_ignored() {
    let mut server = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    server.signal("HUP");
    if hangups_are_ignored() {
        let host = address.split('/').find(|part| part.starts_with("127.")).unwrap();
        assert!(wirehub(&["health", host]).output().unwrap().status.success());
    } else {
        assert!(!server.child.wait().unwrap().success());
    }
}

/// Returns whether this process ignores hangups, as after `nohup`. Its children inherit that.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}
