//! A contract as TypeScript declarations, by [`ts_rs`]: what the npm package's `connect<Contract>(…)` is typed by.
//!
//! Message types derive `ts_rs::TS`; then [`module::<MyContract>()`](module) is the text of a module to write beside
//! the page's sources.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ts_rs::{Config, TS, TypeVisitor};

use super::{Binary, Contract, Message};

/// A contract that can describe itself to a [`Module`]. [`contract!`](crate::contract!) implements it.
pub trait TypeScript: Contract {
    /// Tells the module each channel and call.
    fn describe(module: &mut Module);
}

/// The TypeScript module of a contract: its message types, the contract's type under its Rust name with `Contract`
/// at the end, and a value with its name and hashes. 64-bit integers are `number`s, as `JSON.parse` makes them.
pub fn module<C: TypeScript>() -> String {
    let mut module = Module {
        config: Config::default().with_large_int("number"),
        declarations: BTreeMap::new(),
        channels: String::new(),
        calls: String::new(),
    };
    C::describe(&mut module);
    module.finish::<C>()
}

/// Collects the declarations of a contract.
#[allow(missing_debug_implementations, reason = "ts_rs::Config has none")]
pub struct Module {
    config: Config,
    declarations: BTreeMap<String, String>,
    channels: String,
    calls: String,
}

impl Module {
    /// Adds a channel: a parameter becomes `${string}` in a template literal type.
    pub fn channel<M: Message + TS + 'static>(&mut self, pattern: &str) {
        self.visit::<M>();
        let mut key = String::new();
        let mut rest = pattern;
        while let Some((before, behind)) = rest.split_once('{') {
            key.push_str(before);
            key.push_str("${string}");
            rest = behind.split_once('}').map_or("", |(_, behind)| behind);
        }
        key.push_str(rest);
        let (open, close) = if pattern.contains('{') { ("[key: `", "`]") } else { ("'", "'") };
        let _ = writeln!(self.channels, "    {open}{key}{close}: {};", M::name(&self.config));
    }

    /// Adds a call.
    pub fn call<Q: Message + TS + 'static, S: Message + TS + 'static>(&mut self, name: &str) {
        self.visit::<Q>();
        self.visit::<S>();
        let (request, response) = (Q::name(&self.config), S::name(&self.config));
        let _ = writeln!(self.calls, "    '{name}': {{ request: {request}; response: {response} }};");
    }

    fn finish<C: Contract>(self) -> String {
        let mut out = String::from("// Made from the Rust contract. Change that, then make this anew.\n");
        out.push_str("import type { ContractInfo } from '@wirehub/client';\n\n");
        for declaration in self.declarations.values() {
            let _ = writeln!(out, "{declaration}\n");
        }
        let type_name = format!("{}Contract", pascal_case(C::NAME));
        let _ = writeln!(
            out,
            "export interface {type_name} {{\n  channels: {{\n{}  }};\n  calls: {{\n{}  }};\n}}\n",
            self.channels, self.calls
        );
        let _ = writeln!(
            out,
            "export const {}: ContractInfo<{type_name}> = {{\n  name: '{}',\n  hash: '{}',\n  items: {{",
            camel_case(C::NAME),
            C::NAME,
            C::HASH
        );
        for item in C::ITEMS {
            let _ = writeln!(out, "    '{}': '{}',", item.name, item.hash);
        }
        out.push_str("  },\n};\n");
        out
    }
}

impl TypeVisitor for Module {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Types without a file of their own are TypeScript's: string, Array<…>.
        if T::output_path().is_some() && !self.declarations.contains_key(&T::ident(&self.config)) {
            let docs = T::docs().unwrap_or_default();
            self.declarations
                .insert(T::ident(&self.config), format!("{docs}export {}", T::decl(&self.config)));
        }
        T::visit_dependencies(&mut Dependencies(self));
        T::visit_generics(&mut Dependencies(self));
    }
}

/// Visits each type once, so that types which contain themselves end.
struct Dependencies<'a>(&'a mut Module);

impl TypeVisitor for Dependencies<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.0.declarations.contains_key(&T::ident(&self.0.config)) {
            self.0.visit::<T>();
        }
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
