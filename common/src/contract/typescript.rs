//! A contract as TypeScript declarations, by [`ts_rs`]. They are the types for the npm package's
//! `connect<Contract>(…)`.
//!
//! Message types derive `ts_rs::TS`. Then [`module::<MyContract>()`](module) returns the text of a module to write next
//! to the page's sources.

use std::any::TypeId;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use ts_rs::{Config, TS, TypeVisitor};

use super::{Attachment, Binary, Contract, Message};

/// A contract that can describe itself to a [`Module`]. [`contract!`](crate::contract!) implements it.
pub trait TypeScript: Contract {
    /// Adds each channel and call to the module.
    fn describe(module: &mut Module);
}

/// The TypeScript module of a contract: its message types, the contract's type under its Rust name with `Contract` at
/// the end, and a value with its name and hashes. 64-bit integers are `number`s, as `JSON.parse` returns them.
///
/// Two types with the same name are both in the module, and TypeScript's compiler reports an error: rename one of them.
pub fn module<C: TypeScript>() -> String {
    module_with::<C>(|_| {})
}

/// The same module with more types: of broadcasts and of the members' info, which are not items of a contract.
///
/// ```
/// # use wirehub_common::contract::typescript;
/// # #[derive(serde::Serialize, serde::Deserialize, wirehub_common::contract::Schema, ts_rs::TS)]
/// # struct Notice { text: String }
/// # wirehub_common::contract! { contract Demo = "demo"; channel News = "news": String; }
/// let text = typescript::module_with::<Demo>(|module| {
///     module.broadcast::<Notice>().info::<Option<String>>();
/// });
/// assert!(text.contains("broadcast: Notice;"));
/// ```
pub fn module_with<C: TypeScript>(add: impl FnOnce(&mut Module)) -> String {
    let mut module = Module {
        config: Config::default().with_large_int("number"),
        visited: HashSet::new(),
        declarations: BTreeSet::new(),
        channels: String::new(),
        calls: String::new(),
        streams: String::new(),
        others: String::new(),
    };
    C::describe(&mut module);
    add(&mut module);
    module.finish::<C>()
}

/// Collects the declarations of a contract.
#[allow(missing_debug_implementations, reason = "ts_rs::Config has none")]
pub struct Module {
    config: Config,
    visited: HashSet<TypeId>,
    /// By name.
    declarations: BTreeSet<(String, String)>,
    channels: String,
    calls: String,
    streams: String,
    /// The types of the contract's type that belong to no item.
    others: String,
}

impl Module {
    /// Adds a channel: a parameter becomes `${string}` in a template literal type.
    pub fn channel<M: Message + TS + 'static>(&mut self, pattern: &str) {
        self.visit::<M>();
        let message = M::name(&self.config);
        if !pattern.contains('{') {
            let _ = writeln!(self.channels, "    {}: {message};", quoted(pattern));
            return;
        }
        let mut key = String::new();
        let mut rest = pattern;
        while let Some((before, behind)) = rest.split_once('{') {
            key.push_str(&escaped(before, &['`', '$']));
            key.push_str("${string}");
            rest = behind.split_once('}').map_or("", |(_, behind)| behind);
        }
        key.push_str(&escaped(rest, &['`', '$']));
        let _ = writeln!(self.channels, "    [key: `{key}`]: {message};");
    }

    /// Adds a call.
    pub fn call<Q: Message + TS + 'static, S: Message + TS + 'static>(&mut self, name: &str) {
        self.visit::<Q>();
        self.visit::<S>();
        self.calls.push_str(&self.procedure::<Q, S>(name));
    }

    /// Adds a call with any number of responses.
    pub fn stream<Q: Message + TS + 'static, S: Message + TS + 'static>(&mut self, name: &str) {
        self.visit::<Q>();
        self.visit::<S>();
        self.streams.push_str(&self.procedure::<Q, S>(name));
    }

    /// Sets the message of broadcasts: from the server to every session.
    pub fn broadcast<M: Message + TS + 'static>(&mut self) -> &mut Self {
        self.other::<M>("broadcast")
    }

    /// Sets the info that a session shows to the other members of its channels.
    pub fn info<T: TS + 'static>(&mut self) -> &mut Self {
        self.other::<T>("info")
    }

    fn other<T: TS + 'static>(&mut self, name: &str) -> &mut Self {
        self.visit::<T>();
        let _ = writeln!(self.others, "  {name}: {};", T::name(&self.config));
        self
    }

    fn procedure<Q: TS, S: TS>(&self, name: &str) -> String {
        let (request, response) = (Q::name(&self.config), S::name(&self.config));
        format!("    {}: {{ request: {request}; response: {response} }};\n", quoted(name))
    }

    fn finish<C: Contract>(self) -> String {
        let mut out = String::from(
            "// Generated from the Rust contract. Change the contract, then generate this file again.\n",
        );
        out.push_str("import type { ContractInfo } from '@wirehub/client';\n\n");
        for (_, declaration) in &self.declarations {
            let _ = writeln!(out, "{declaration}\n");
        }
        let type_name = format!("{}Contract", pascal_case(C::NAME));
        let _ = writeln!(
            out,
            "export interface {type_name} {{\n  channels: {{\n{}  }};\n  calls: {{\n{}  }};\n  streams: {{\n{}  }};\n{}}}\n",
            self.channels, self.calls, self.streams, self.others
        );
        let _ = writeln!(
            out,
            "export const {}: ContractInfo<{type_name}> = {{\n  name: {},\n  hash: '{}',\n  items: {{",
            camel_case(C::NAME),
            quoted(C::NAME),
            C::HASH
        );
        for item in C::ITEMS {
            let _ = writeln!(out, "    {}: '{}',", quoted(item.name), item.hash);
        }
        out.push_str("  },\n};\n");
        out
    }
}

impl TypeVisitor for Module {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Each type only once, so that recursive types end.
        if !self.visited.insert(TypeId::of::<T>()) {
            return;
        }
        // Types without a file of their own are TypeScript's: string, Array<…>.
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration = format!("{docs}export {}", T::decl(&self.config));
            self.declarations.insert((T::ident(&self.config), declaration));
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

impl TS for Binary {
    type WithoutGenerics = Self;
    type OptionInnerType = Self;

    fn name(_: &Config) -> String {
        "Uint8Array".into()
    }

    fn inline(config: &Config) -> String {
        Self::name(config)
    }
}

impl<H: TS> TS for Attachment<H> {
    type WithoutGenerics = Attachment<ts_rs::Dummy>;
    type OptionInnerType = Self;

    /// Structural, so that the module imports nothing for it: it is the package's `Attachment<…>`.
    fn name(config: &Config) -> String {
        format!("{{ head: {}; bytes: Uint8Array }}", H::name(config))
    }

    fn inline(config: &Config) -> String {
        Self::name(config)
    }

    fn visit_generics(visitor: &mut impl TypeVisitor)
    where
        Self: 'static,
    {
        visitor.visit::<H>();
    }
}

/// A text in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", escaped(text, &['\'']))
}

/// A text with a backslash before these characters, and before backslashes.
fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn pascal_case(name: &str) -> String {
    name.split(|c: char| !c.is_alphanumeric())
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters)
        })
        .collect()
}

fn camel_case(name: &str) -> String {
    let pascal = pascal_case(name);
    let mut letters = pascal.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}
