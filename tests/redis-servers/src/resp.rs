//! A client of a few commands.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// The reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// A text; bytes that are not UTF-8 are replaced.
    Text(String),
    /// A number.
    Number(i64),
    /// A refusal.
    Error(String),
    /// Several replies.
    List(Vec<Self>),
}

impl Reply {
    /// The replies in a list; otherwise nothing.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

/// Like `redis-cli` into a file: the items of a list are in a line each, and no value is an empty text.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => Ok(()),
            Self::Text(text) | Self::Error(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}{item}")?;
                }
                Ok(())
            }
        }
    }
}

/// Sends one command as a user over a connection of its own, and returns its reply.
pub(crate) async fn command(socket: &Path, user: &str, words: &[&str]) -> io::Result<Reply> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    let mut request = encode(&["AUTH", user, user]);
    request.extend(encode(words));
    stream.write_all(&request).await?;
    match read(&mut stream).await? {
        Reply::Error(reason) => Ok(Reply::Error(reason)),
        _ => read(&mut stream).await,
    }
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    request
}

async fn read(stream: &mut BufReader<UnixStream>) -> io::Result<Reply> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(ErrorKind::InvalidData)?;
    let number = || rest.parse::<i64>().map_err(|_| io::Error::from(ErrorKind::InvalidData));
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(number()?),
        "$" => match usize::try_from(number()?) {
            Ok(length) => {
                let mut text = vec![0; length + 2];
                stream.read_exact(&mut text).await?;
                text.truncate(length);
                Reply::Text(String::from_utf8_lossy(&text).into_owned())
            }
            Err(_) => Reply::Nil,
        },
        "*" => match usize::try_from(number()?) {
            Ok(length) => {
                let mut items = Vec::with_capacity(length);
                for _ in 0..length {
                    items.push(Box::pin(read(stream)).await?);
                }
                Reply::List(items)
            }
            Err(_) => Reply::Nil,
        },
        _ => return Err(ErrorKind::InvalidData.into()),
    })
}
