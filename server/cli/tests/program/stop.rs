//! Signals that stop the program.

use tokio::net::TcpStream;
use wirehub_common::frame::Connect;
use wirehub_common::{Codec, Payload};

use crate::program::Running;
use crate::support::{Client, http_at, in_time, publish};

async fn stopping(host: &str) {
    let ready = "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    in_time(async { while !http_at(host, ready).await.starts_with("HTTP/1.1 503") {} }).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_program_also_in_the_delay_before_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    let config = file.to_str().unwrap();
    std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:0\"\ndrain_delay = \"1h\"\n").unwrap();
    for (arguments, second) in
        [(&["--listen", "127.0.0.1:0", "--drain-delay", "1h"][..], "TERM"), (&["--config", config], "INT")]
    {
        let mut server = Running::start(&[&["serve"], arguments].concat());
        let host = server.address().strip_prefix("http://").unwrap().to_owned();
        let mut client = Client::open_on(TcpStream::connect(&host).await.unwrap(), Codec::Json).await;
        client.connected(Connect::default()).await;
        server.signal("TERM");
        stopping(&host).await;
        client.ok(publish("a", Payload::json("1"))).await;
        server.signal(second);
        assert_eq!(server.child.wait().unwrap().code(), Some(1));
    }
}
