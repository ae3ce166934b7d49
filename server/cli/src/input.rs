//! Standard input of commands.

use std::io::{self, BufRead, Read as _};
use std::thread;

use tokio::sync::mpsc;

/// Lines without their ends. A thread reads them, so that the program continues while it waits for input.
pub(super) struct Lines {
    lines: mpsc::Receiver<io::Result<String>>,
}

impl Lines {
    /// The lines of standard input.
    pub(super) fn of_standard_input() -> Self {
        let (sender, lines) = mpsc::channel(READ_AHEAD);
        // The thread is not joined: the program may end before its input.
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Some(line) = next(&mut input).transpose() {
                let is_last = line.is_err();
                if sender.blocking_send(line).is_err() || is_last {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// The next line; `None` at the end, or after an error.
    pub(super) async fn next(&mut self) -> Option<io::Result<String>> {
        self.lines.recv().await
    }
}

fn next(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    // With room for the end of the line.
    input.take(MAX_LINE.saturating_add(2)).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let length = line.trim_end_matches(['\r', '\n']).len();
    if length as u64 > MAX_LINE {
        return Err(io::Error::other(format!("a line is longer than {MAX_LINE} bytes: send shorter ones")));
    }
    line.truncate(length);
    Ok(Some(line))
}

/// The number of lines that are read in advance.
const READ_AHEAD: usize = 16;

/// The length of the longest line.
const MAX_LINE: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_without_their_ends() {
        let mut input = "a\n\nb c\r\nlast".as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["a", "", "b c", "last"]);
    }

    #[test]
    fn invalid_text_is_an_error() {
        assert_eq!(next(&mut &b"\xff\n"[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_line_has_a_maximum_length() {
        let endless = io::repeat(b'a');
        let error = next(&mut io::BufReader::new(endless)).unwrap_err();
        assert!(error.to_string().contains("send shorter"), "{error}");
    }
}
