//! Reads the machine-readable parts of PROTOCOL.md: its blocks of vectors and its tables.

use bytes::Bytes;

pub(crate) const PROTOCOL: &str = include_str!("../../../PROTOCOL.md");

/// A fenced block, named by the text behind the fence.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) info: &'static str,
    /// The first line.
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<&'static str>,
}

impl Block {
    /// The lines of JSON.
    pub(crate) fn json(&self) -> impl Iterator<Item = &'static str> {
        self.lines.iter().copied().filter(|line| hexadecimal(line).is_none())
    }

    /// The lines of hexadecimal digits as bytes.
    pub(crate) fn protobuf(&self) -> impl Iterator<Item = Bytes> {
        self.lines.iter().filter_map(|line| hexadecimal(line))
    }
}

/// Every block with this word behind the fence.
pub(crate) fn blocks(info: &str) -> Vec<Block> {
    let blocks: Vec<_> = all_blocks().into_iter().filter(|block| block.info == info).collect();
    assert!(!blocks.is_empty(), "PROTOCOL.md has blocks of `{info}`");
    blocks
}

/// The rows of the first table below a heading, without its head; each row as its cells.
pub(crate) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PROTOCOL.split_once(&format!("\n## {heading}\n")).expect("the heading");
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn all_blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = PROTOCOL.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let (name, lines) = content.split_first().expect("a block with a first line");
            blocks.push(Block { info, name, lines: lines.into() });
        }
    }
    blocks
}

/// The bytes of a line that consists only of pairs of hexadecimal digits.
fn hexadecimal(line: &str) -> Option<Bytes> {
    line.split(' ')
        .map(|pair| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten())
        .collect()
}

#[test]
fn each_block_is_of_a_known_kind_and_has_a_name_of_its_own() {
    let known =
        ["json", "command", "frame", "command reads", "frame reads", "command malformed", "frame malformed"]
            .into_iter()
            .chain(["command impossible"]);
    let known: Vec<_> = known.collect();
    let blocks = all_blocks();
    for block in &blocks {
        assert!(known.contains(&block.info), "`{}`", block.info);
        let same = blocks.iter().filter(|other| (other.info, other.name) == (block.info, block.name));
        assert_eq!(same.count(), 1, "{}", block.name);
    }
}
