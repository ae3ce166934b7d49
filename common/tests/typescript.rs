//! A contract as a TypeScript module.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use wirehub_common::contract::typescript::{module, module_with};
use wirehub_common::contract::{Attachment, Binary, Schema};

wirehub_common::contract! {
    /// Every shape that a message can have.
    contract Everything = "every-thing";
    channel Text = "text": String;
    channel Picture { album, number } = "pictures/{album}/{number}": Binary;
    channel Sketch = "sketch": Attachment<Title>;
    channel Quote = "it's": u64;
    channel Price { symbol } = "`${symbol}": Option<f64>;
    call Draw = "draw": fn(Shape) -> Vec<Drawn>;
    call Stop = "stop": fn(()) -> ();
    stream Trace = "trace": fn(Shape) -> Point;
}

/// The title of a sketch.
#[derive(Serialize, Deserialize, Schema, TS)]
struct Title {
    text: String,
}

/// A figure to draw.
#[derive(Serialize, Deserialize, Schema, TS)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[allow(dead_code)]
enum Shape {
    Circle {
        center: Point,
        radius: f64,
    },
    /// Through all points.
    Path(Path),
}

#[derive(Serialize, Deserialize, Schema, TS)]
struct Path {
    points: Vec<Point>,
    label: Option<String>,
}

#[derive(Serialize, Deserialize, Schema, TS)]
struct Point {
    x: i64,
    y: i64,
}

#[derive(Serialize, Deserialize, Schema, TS)]
#[serde(rename_all = "camelCase")]
struct Drawn {
    line_width: u8,
    by_name: BTreeMap<String, Point>,
    /// The parts of the figure.
    #[schema(opaque)]
    parts: Vec<Drawn>,
}

#[test]
fn channels_calls_and_streams_are_typed_by_their_messages() {
    let module = module::<Everything>();
    let contract = between(&module, "export interface EveryThingContract {", "\n}\n");
    assert_eq!(
        contract.split_whitespace().collect::<Vec<_>>().join(" "),
        "channels: { \
         'text': string; \
         [key: `pictures/${string}/${string}`]: Uint8Array; \
         'sketch': { head: Title; bytes: Uint8Array }; \
         'it\\'s': number; \
         [key: `\\`\\$${string}`]: number | null; }; \
         calls: { \
         'draw': { request: Shape; response: Array<Drawn> }; \
         'stop': { request: null; response: null }; }; \
         streams: { \
         'trace': { request: Shape; response: Point }; };"
    );
}

#[test]
fn broadcasts_and_the_info_of_members_are_typed_besides_the_items() {
    let module = module_with::<Everything>(|module| {
        module.broadcast::<Path>().info::<BTreeMap<String, Point>>();
    });
    let contract = between(&module, "export interface EveryThingContract {", "\n}\n");
    let others: Vec<_> = contract.lines().map(str::trim).rev().take(2).collect();
    assert_eq!(others, ["info: { [key in string]: Point };", "broadcast: Path;"]);
    assert!(module.contains("export type Path = "));
}

#[test]
fn nested_types_are_declared_once_each_with_their_documentation() {
    let module = module::<Everything>();
    let declared: Vec<_> = module
        .lines()
        .filter_map(|line| line.strip_prefix("export type "))
        .map(|line| &line[..line.find(' ').unwrap()])
        .collect();
    assert_eq!(declared, ["Drawn", "Path", "Point", "Shape", "Title"]);

    let flat = |name| declaration(&module, name).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(flat("Point"), "{ x: number, y: number, }");
    assert_eq!(flat("Path"), "{ points: Array<Point>, label: string | null, }");
    assert_eq!(
        flat("Shape"),
        r#"{ "kind": "circle", center: Point, radius: number, } | { "kind": "path" } & Path"#
    );
    assert!(
        flat("Drawn").contains("lineWidth: number, byName: { [key in string]: Point }"),
        "{}",
        flat("Drawn")
    );
    assert!(flat("Drawn").contains("parts: Array<Drawn>"));
    assert!(flat("Drawn").contains("The parts of the figure."));
    assert!(module.contains("/**\n * A figure to draw.\n */\nexport type Shape"));
}

#[test]
fn the_value_has_the_name_and_the_hashes() {
    let module = module::<Everything>();
    let value = between(&module, "export const everyThing: ContractInfo<EveryThingContract> = {", "\n};\n");
    let mut expected = vec!["name: 'every-thing',".to_owned(), format!("hash: '{}',", Everything::HASH)];
    expected.push("items: {".into());
    for item in Everything::ITEMS {
        expected.push(format!("'{}': '{}',", item.name.replace('\'', "\\'"), item.hash));
    }
    expected.push("},".into());
    assert_eq!(value.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>(), expected);
    assert!(module.contains("import type { ContractInfo } from '@wirehub/client';"));
}

mod one {
    use super::*;

    #[derive(Serialize, Deserialize, Schema, TS)]
    pub(super) struct Item {
        pub(super) a: u8,
    }
}

mod other {
    use super::*;

    #[derive(Serialize, Deserialize, Schema, TS)]
    pub(super) struct Item {
        pub(super) b: u8,
    }
}

wirehub_common::contract! {
    contract Clash = "clash";
    channel One = "one": one::Item;
    channel Other = "other": other::Item;
}

#[test]
fn two_types_of_one_name_do_not_pass_for_one() {
    let module = module::<Clash>();
    assert_eq!(module.matches("export type Item = ").count(), 2, "tsc has to see both: {module}");
}

fn declaration<'a>(module: &'a str, name: &str) -> &'a str {
    between(module, &format!("export type {name} = "), ";\n\n")
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, behind) = text.split_once(start).unwrap_or_else(|| panic!("no `{start}` in {text}"));
    behind.split_once(end).unwrap_or_else(|| panic!("no `{end}` behind `{start}`")).0
}
