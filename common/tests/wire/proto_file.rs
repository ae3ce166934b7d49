//! Reads the part of the Protocol Buffers language that `proto/wirehub.proto` uses, and compares the file with the
//! declarations of the tests, so that they change together.

use std::collections::BTreeMap;

use crate::schema::{self, MESSAGES};

/// The declarations in `wirehub.proto`.
#[derive(Debug, Default)]
pub(crate) struct ProtoFile {
    pub(crate) messages: BTreeMap<String, Vec<Field>>,
    pub(crate) enums: BTreeMap<String, Vec<(String, u32)>>,
}

/// One field of a message.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) label: Label,
    pub(crate) number: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Label {
    None,
    Optional,
    Repeated,
    OneOf(String),
}

impl ProtoFile {
    pub(crate) fn read() -> Self {
        Self::parse(include_str!("../../proto/wirehub.proto"))
    }

    /// The field with this number.
    pub(crate) fn field(&self, message: &str, number: u32) -> Option<&Field> {
        self.messages[message].iter().find(|field| field.number == number)
    }

    fn parse(text: &str) -> Self {
        let mut tokens = Tokens::of(text);
        let mut file = Self::default();
        while let Some(keyword) = tokens.0.pop() {
            match keyword.as_str() {
                "syntax" => tokens.expect(&["=", "\"proto3\"", ";"]),
                "package" => tokens.expect(&["wirehub.v1", ";"]),
                "message" => {
                    let name = tokens.take();
                    tokens.expect(&["{"]);
                    let mut fields = Vec::new();
                    tokens.fields(&Label::None, &mut fields);
                    assert!(file.messages.insert(name, fields).is_none(), "a message is declared twice");
                }
                "enum" => {
                    let name = tokens.take();
                    tokens.expect(&["{"]);
                    file.enums.insert(name, tokens.values());
                }
                other => panic!("wirehub.proto uses `{other}`, which this reader does not know"),
            }
        }
        file
    }
}

/// The file's tokens, the first one last.
struct Tokens(Vec<String>);

impl Tokens {
    fn of(text: &str) -> Self {
        let mut words = Vec::new();
        for line in text.lines() {
            let code = line.split_once("//").map_or(line, |(code, _)| code);
            let spaced = ['{', '}', '=', ';']
                .iter()
                .fold(code.to_owned(), |line, mark| line.replace(*mark, &format!(" {mark} ")));
            words.extend(spaced.split_whitespace().map(str::to_owned));
        }
        words.reverse();
        Self(words)
    }

    fn take(&mut self) -> String {
        self.0.pop().expect("wirehub.proto ends too early")
    }

    fn expect(&mut self, words: &[&str]) {
        for word in words {
            assert_eq!(self.take(), *word);
        }
    }

    /// Fields up to the closing brace.
    fn fields(&mut self, label: &Label, fields: &mut Vec<Field>) {
        loop {
            let word = self.take();
            let (label, kind) = match word.as_str() {
                "}" => return,
                "oneof" => {
                    let name = self.take();
                    self.expect(&["{"]);
                    self.fields(&Label::OneOf(name), fields);
                    continue;
                }
                "optional" => (Label::Optional, self.take()),
                "repeated" => (Label::Repeated, self.take()),
                _ => (label.clone(), word),
            };
            let name = self.take();
            let number = self.number();
            fields.push(Field { name, kind, label, number });
        }
    }

    fn values(&mut self) -> Vec<(String, u32)> {
        let mut values = Vec::new();
        loop {
            let name = self.take();
            if name == "}" {
                return values;
            }
            values.push((name, self.number()));
        }
    }

    fn number(&mut self) -> u32 {
        self.expect(&["="]);
        let number = self.take().parse().expect("a field's number");
        self.expect(&[";"]);
        number
    }
}

/// The declaration of the field in `prost`: its attribute and its Rust type.
fn as_prost(file: &ProtoFile, field: &Field) -> (String, String) {
    let (kind, rust_type) = match field.kind.as_str() {
        "string" => ("string".into(), "String".into()),
        "bytes" => ("bytes".into(), "Vec<u8>".into()),
        "bool" => ("bool".into(), "bool".into()),
        "uint32" => ("uint32".into(), "u32".into()),
        "uint64" => ("uint64".into(), "u64".into()),
        "fixed64" => ("fixed64".into(), "u64".into()),
        name if file.enums.contains_key(name) => (format!("enumeration=\"{name}\""), "i32".into()),
        name if file.messages.contains_key(name) => ("message".into(), name.to_owned()),
        other => panic!("`{other}` is declared nowhere"),
    };
    match field.label {
        Label::Repeated => (format!("{kind},repeated"), format!("Vec<{rust_type}>")),
        // A message may always be absent.
        Label::Optional => (format!("{kind},optional"), format!("Option<{rust_type}>")),
        _ if kind == "message" => (format!("{kind},optional"), format!("Option<{rust_type}>")),
        _ => (kind, rust_type),
    }
}

/// A field's name in JSON.
pub(crate) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn the_proto_file_and_the_reference_types_have_the_same_declarations() {
    let file = ProtoFile::read();
    let squeeze = |text: &str| text.replace(' ', "");
    let ours: BTreeMap<_, Vec<_>> = MESSAGES
        .iter()
        .map(|(name, fields)| {
            let fields = fields
                .iter()
                .map(|row| (row.number, row.name.to_owned(), (squeeze(row.kind), squeeze(row.rust_type))));
            ((*name).to_owned(), fields.collect())
        })
        .collect();
    let theirs: BTreeMap<_, Vec<_>> = file
        .messages
        .iter()
        .map(|(name, fields)| {
            let fields =
                fields.iter().map(|field| (field.number, field.name.clone(), as_prost(&file, field)));
            (name.clone(), fields.collect())
        })
        .collect();
    assert_eq!(ours, theirs);

    let content =
        [schema::Content::Json, schema::Content::Bytes, schema::Content::Custom, schema::Content::Attachment]
            .map(|tag| tag as u32);
    assert_eq!(file.enums["Content"].iter().map(|(_, number)| *number).collect::<Vec<_>>(), content);
    assert_eq!(
        file.enums["Content"].iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
        ["JSON", "BYTES", "CUSTOM", "ATTACHMENT"]
    );
}

#[test]
fn everything_but_the_head_of_a_frame_is_one_of_several() {
    let file = ProtoFile::read();
    for (message, oneof, heads) in [
        ("Command", "request", &["id"][..]),
        ("ServerFrame", "body", &["id"]),
        ("SubscribeOutcome", "result", &["channel", "number"]),
    ] {
        for field in &file.messages[message] {
            let expected =
                if heads.contains(&&*field.name) { Label::None } else { Label::OneOf(oneof.into()) };
            assert_eq!(field.label, expected, "{message}.{}", field.name);
        }
    }
}
