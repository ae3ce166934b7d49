//! Bytes in, bytes out, by blocking calls: the cost of the kernel alone.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};

use crate::wire::Role;

pub(super) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    super::announce(listener.local_addr()?)?;
    let mut channel = Channel { publishers: Vec::new(), subscribers: Vec::new(), buffer: vec![0; 64 * 1024] };
    loop {
        let new = PollFd::new(&listener, PollFlags::IN);
        let publishers = channel.publishers.iter().map(|it| PollFd::new(it, PollFlags::IN));
        let mut sources: Vec<PollFd<'_>> = [new].into_iter().chain(publishers).collect();
        poll(&mut sources, None).context("cannot wait")?;
        let mut ready = sources.iter().map(|it| !it.revents().is_empty());
        let somebody_comes = ready.next().unwrap_or(false);
        let ready: Vec<bool> = ready.collect();
        channel.fan_out(&ready);
        if somebody_comes {
            let (stream, _) = listener.accept().context("cannot accept")?;
            take(stream, &mut channel)?;
        }
    }
}

fn take(mut stream: TcpStream, channel: &mut Channel) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut role = [0];
    stream.read_exact(&mut role)?;
    let Some(role) = Role::from_byte(role[0]) else { bail!("the load names no role") };
    stream.write_all(&[role.byte()])?;
    match role {
        Role::Subscriber => channel.subscribers.push(stream),
        Role::Publisher => channel.publishers.push(stream),
        Role::Echo => drop(thread::spawn(move || echo(stream, &mut vec![0; 64 * 1024]))),
        // There are many of them, and they are short-lived: threads would be most of their cost.
        Role::Visitor => echo(stream, &mut [0; 1024]),
    }
    Ok(())
}

struct Channel {
    publishers: Vec<TcpStream>,
    subscribers: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Channel {
    /// The bytes from the publishers that are `ready` are sent in one piece.
    fn fan_out(&mut self, ready: &[bool]) {
        let mut length = 0;
        let mut ready = ready.iter();
        self.publishers.retain_mut(|publisher| {
            let room = &mut self.buffer[length..];
            if !ready.next().is_some_and(|&it| it) || room.is_empty() {
                return true;
            }
            // A publisher that has ended is removed.
            let came = publisher.read(room).unwrap_or_default();
            length += came;
            came > 0
        });
        if length > 0 {
            // A subscriber that has left is removed. The load counts the messages itself.
            self.subscribers.retain_mut(|subscriber| subscriber.write_all(&self.buffer[..length]).is_ok());
        }
    }
}

/// Until the load closes the connection.
fn echo(mut stream: TcpStream, buffer: &mut [u8]) {
    while let Ok(length @ 1..) = stream.read(buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
