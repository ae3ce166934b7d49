//! Bytes in, bytes out, by blocking calls: what the kernel alone costs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::wire::Role;

type Subscribers = Arc<Mutex<Vec<TcpStream>>>;

pub(super) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    super::announce(listener.local_addr()?)?;
    let subscribers = Subscribers::default();
    loop {
        let (mut stream, _) = listener.accept().context("cannot accept")?;
        stream.set_nodelay(true)?;
        let mut role = [0];
        stream.read_exact(&mut role)?;
        match Role::from_byte(role[0]) {
            Some(Role::Subscriber) => {
                stream.write_all(&role)?;
                subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            }
            Some(Role::Publisher) => {
                let subscribers = Arc::clone(&subscribers);
                stream.write_all(&role)?;
                thread::spawn(move || fan_out(stream, &subscribers));
            }
            Some(Role::Echo) => {
                stream.write_all(&role)?;
                thread::spawn(move || echo(stream));
            }
            None => bail!("the load says neither publish nor subscribe nor echo"),
        }
    }
}

/// Until the load goes away.
fn fan_out(mut publisher: TcpStream, subscribers: &Mutex<Vec<TcpStream>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = publisher.read(&mut buffer) {
        for subscriber in subscribers.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if subscriber.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    }
}

/// Until the load goes away.
fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
