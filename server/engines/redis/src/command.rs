//! Commands for one partition.

use std::io::Write as _;

use bytes::Bytes;
use redis::Cmd;
use wirehub_common::ChannelName;
use wirehub_hub::engine::NodeId;

use crate::scripts::ScriptName;

/// A command for one partition. Its arguments are in one buffer, one behind the other: a publish has a dozen of them, and memory for
/// each would cost more than all the rest.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// Absent for a command of Redis, whose name is the first argument.
    script: Option<ScriptName>,
    /// The number of arguments that are keys of the script.
    keys: usize,
    arguments: Vec<u8>,
    /// The end of each argument.
    ends: Vec<usize>,
}

/// A value that is written as an argument.
pub(crate) trait Argument {
    fn write(self, buffer: &mut Vec<u8>);
}

impl Command {
    /// A command of Redis.
    pub(crate) fn plain(name: &str) -> Self {
        Self::new(None).arg(name)
    }

    /// A script: first its keys, then its arguments. The id of the process is put before its arguments.
    pub(crate) fn script(name: ScriptName) -> Self {
        Self::new(Some(name))
    }

    fn new(script: Option<ScriptName>) -> Self {
        let (arguments, ends) = (Vec::with_capacity(USUAL_BYTES), Vec::with_capacity(USUAL_ARGUMENTS));
        Self { script, keys: 0, arguments, ends }
    }

    /// Adds a key of a script.
    pub(crate) fn key(mut self, key: impl Argument) -> Self {
        self.keys = self.keys.saturating_add(1);
        self.arg(key)
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl Argument) -> Self {
        argument.write(&mut self.arguments);
        self.ends.push(self.arguments.len());
        self
    }

    /// Adds arguments.
    pub(crate) fn args(self, arguments: impl IntoIterator<Item = impl Argument>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// The number of bytes of the arguments.
    pub(crate) fn bytes(&self) -> usize {
        self.arguments.len()
    }

    /// The command for one process of Redis.
    pub(crate) fn pack(&self, process: &str) -> Cmd {
        let count = self.ends.len().saturating_add(4);
        let mut packed = Cmd::with_capacity(count, self.bytes().saturating_add(SCRIPT_BYTES));
        let mut start = 0;
        let mut arguments = self.ends.iter().map(|end| {
            let argument = self.arguments.get(start..*end).unwrap_or_default();
            start = *end;
            argument
        });
        if let Some(script) = self.script {
            packed.arg("EVALSHA").arg(script.sha()).arg(self.keys);
            for key in arguments.by_ref().take(self.keys) {
                packed.arg(key);
            }
            packed.arg(process);
        }
        for argument in arguments {
            packed.arg(argument);
        }
        packed
    }
}

macro_rules! written_as_bytes {
    ($($kind:ty),+) => {$(
        impl Argument for $kind {
            fn write(self, buffer: &mut Vec<u8>) {
                buffer.extend_from_slice(self.as_ref());
            }
        }
    )+};
}

written_as_bytes!(&[u8], &[u8; 16], &str, &String, String, &Bytes, Bytes);

macro_rules! written_as_text {
    ($($kind:ty),+) => {$(
        impl Argument for $kind {
            fn write(self, buffer: &mut Vec<u8>) {
                // A vector takes everything.
                let _ = write!(buffer, "{self}");
            }
        }
    )+};
}

written_as_text!(u8, u32, u64, usize, u128, NodeId);

impl Argument for &ChannelName {
    fn write(self, buffer: &mut Vec<u8>) {
        self.as_str().write(buffer);
    }
}

/// Nothing.
impl Argument for () {
    fn write(self, _buffer: &mut Vec<u8>) {}
}

/// One value behind the other.
impl<A: Argument, B: Argument, C: Argument> Argument for (A, B, C) {
    fn write(self, buffer: &mut Vec<u8>) {
        let (first, second, third) = self;
        first.write(buffer);
        second.write(buffer);
        third.write(buffer);
    }
}

/// The room of a new command: that of a publish of a small message.
const USUAL_BYTES: usize = 512;
const USUAL_ARGUMENTS: usize = 16;

/// The bytes that a script has besides its own arguments: two hashes, and a few numbers.
const SCRIPT_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use redis::Arg;

    use super::*;

    fn words(command: &Cmd) -> Vec<String> {
        let words = command.args_iter().map(|argument| match argument {
            Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => panic!("this is no cursor"),
        });
        words.collect()
    }

    #[test]
    fn arguments_are_sent_as_they_were_added() {
        let name = ChannelName::new("chat").unwrap();
        let command = Command::plain("SET").arg((&name, ":", 7_u64)).arg(()).args(["a", ""]);
        assert_eq!(words(&command.pack("process")), ["SET", "chat:7", "", "a", ""]);
        assert_eq!(command.bytes(), 10);
    }

    #[test]
    fn the_process_is_between_keys_and_arguments_of_a_script() {
        let command = Command::script(ScriptName::Publish).key("one").key("two").arg(&b"value"[..]);
        let packed = words(&command.pack("process"));
        assert_eq!(packed, ["EVALSHA", ScriptName::Publish.sha(), "2", "one", "two", "process", "value"]);
        assert_eq!(words(&Command::script(ScriptName::Nodes).pack("it"))[2..], ["0", "it"]);
    }
}
