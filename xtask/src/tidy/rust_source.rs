//! The paths in the code of a file. Test modules are left out, `use a::{b, c::d}` is expanded, and the arguments of
//! macros are included.

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprCall, ExprPath, File, Ident, ItemMod, ItemUse, Macro, MetaList, Path, Token,
    UseTree,
    parse::{ParseStream, Parser},
    spanned::Spanned,
    token::Paren,
    visit::{self, Visit},
};

/// The code of one file.
#[derive(Debug, Default)]
pub(super) struct RustSource {
    /// Every path in the code.
    pub(super) paths: Vec<NamedPath>,
    /// The names in `#[cfg(test)] mod NAME;`.
    pub(super) test_modules: Vec<String>,
}

/// A path in the code, expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// Whether it is called without arguments.
    pub(super) called_without_arguments: bool,
}

impl RustSource {
    pub(super) fn parse(text: &str) -> syn::Result<Self> {
        let file: File = syn::parse_str(text)?;
        let mut source = Self::default();
        source.visit_file(&file);
        Ok(source)
    }

    fn add(&mut self, segments: Vec<String>, at: &impl Spanned, called_without_arguments: bool) {
        let line = at.span().start().line;
        self.paths.push(NamedPath { segments, line, called_without_arguments });
    }

    fn add_path(&mut self, path: &Path, called_without_arguments: bool) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(segments, path, called_without_arguments);
        visit::visit_path(self, path);
    }

    fn add_use(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        let last = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                return self.add_use(&path.tree, prefix);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.add_use(item, prefix.clone()));
            }
            UseTree::Name(name) => name.ident.to_string(),
            UseTree::Rename(rename) => rename.ident.to_string(),
            UseTree::Glob(_) => "*".to_owned(),
        };
        if last != "self" || prefix.is_empty() {
            prefix.push(last);
        }
        self.add(prefix, tree, false);
    }

    /// Reads the tokens of a macro or an attribute, which may have any grammar.
    fn read_tokens(&mut self, tokens: &TokenStream) {
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                self.read_next(input)?;
            }
            Ok(())
        };
        // Every token can be read: tokens outside of paths are skipped.
        let _: syn::Result<()> = read.parse2(tokens.clone());
    }

    fn read_next(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(Token![use]) && input.fork().parse::<ItemUse>().is_ok() {
            self.visit_item_use(&input.parse()?);
        } else if (input.peek(Ident) || input.peek(Token![::])) && input.fork().parse::<ExprPath>().is_ok() {
            let path: ExprPath = input.parse()?;
            let arguments = input.peek(Paren).then(|| input.fork().parse::<TokenTree>()).transpose()?;
            let called = matches!(arguments, Some(TokenTree::Group(group)) if group.stream().is_empty());
            self.add_path(&path.path, called);
        } else if let TokenTree::Group(group) = input.parse()? {
            self.read_tokens(&group.stream());
        }
        Ok(())
    }
}

impl<'ast> Visit<'ast> for RustSource {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !module.attrs.iter().any(is_cfg_test) {
            visit::visit_item_mod(self, module);
        } else if module.content.is_none() {
            self.test_modules.push(module.ident.to_string());
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast Path) {
        self.add_path(path, false);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        match &*call.func {
            Expr::Path(function) if call.args.is_empty() => self.add_path(&function.path, true),
            _ => visit::visit_expr_call(self, call),
        }
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        visit::visit_macro(self, called);
        self.read_tokens(&called.tokens);
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        visit::visit_meta_list(self, list);
        self.read_tokens(&list.tokens);
    }
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let is_test = || attribute.parse_args::<Ident>().is_ok_and(|condition| condition == "test");
    attribute.path().is_ident("cfg") && is_test()
}

impl NamedPath {
    /// Whether the path contains these segments in a row.
    pub(super) fn has(&self, sequence: &[&str]) -> bool {
        self.segments.windows(sequence.len()).any(|part| part == sequence)
    }

    pub(super) fn text(&self) -> String {
        self.segments.join("::")
    }
}

#[cfg(test)]
mod tests {
    use super::RustSource;

    fn paths(text: &str) -> Vec<String> {
        RustSource::parse(text).unwrap().paths.iter().map(super::NamedPath::text).collect()
    }

    #[test]
    fn use_trees_are_spelled_out() {
        let found = paths("use std::{time::{self, Instant as I, Duration}, net::*, io};");
        for path in ["std::time", "std::time::Instant", "std::time::Duration", "std::net::*", "std::io"] {
            assert!(found.iter().any(|it| it == path), "{path} is not in {found:?}");
        }
        assert!(!found.iter().any(|it| it.ends_with("::I")), "{found:?}");
    }

    #[test]
    fn comments_strings_and_lifetimes_hold_no_paths() {
        let text = r####"
            // std::net::a
            /* std::net::b /* nested */ std::net::c */
            const A: &str = "std::net::d \" std::net::e";
            const B: &str = r#"std::net::f " "#;
            const C: &[u8] = b"std::net::g";
            const D: char = '"'; const E: char = '\''; const F: &'static str = "std::net::h";
            fn real() { std::net::real() }
        "####;
        let net: Vec<String> = paths(text).into_iter().filter(|path| path.contains("net")).collect();
        assert_eq!(net, ["std::net::real"]);
    }

    #[test]
    fn macros_and_attributes_are_read() {
        let text = "
            #[tokio::main] fn f() { select! { now = std::time::at() => [a < b, ::c::d::<u8>(1), \"x::y\"] } }
            #[cfg_attr(any(), derive(rand::Random))] struct A<T>(T);
            choose! { if #[cfg(unix)] { use std::{net::Ipv4Addr, io}; } }
        ";
        let found = paths(text);
        let expected = [
            "tokio::main",
            "std::time::at",
            "a",
            "b",
            "c::d",
            "rand::Random",
            "std::net::Ipv4Addr",
            "std::io",
        ];
        for path in expected {
            assert!(found.iter().any(|it| it == path), "{path} is not in {found:?}");
        }
        assert!(!found.iter().any(|it| it.starts_with('x')), "{found:?}");
    }

    #[test]
    fn test_modules_are_left_out_and_the_code_behind_them_is_not() {
        let text = "
            fn a() { product::one() }
            #[cfg(test)]
            #[allow(clippy::unwrap_used)]
            mod tests { fn b() { hidden::two(); { hidden::three() } } }
            #[cfg(test)]
            pub(crate) mod outside;
            #[cfg(not(test))]
            mod real { fn d() { product::four() } }
        ";
        let found = paths(text);
        assert!(found.contains(&"product::one".to_owned()));
        assert!(found.contains(&"product::four".to_owned()));
        assert!(!found.iter().any(|path| path.starts_with("hidden")), "{found:?}");
        assert_eq!(RustSource::parse(text).unwrap().test_modules, ["outside"]);
    }

    #[test]
    fn calls_without_arguments_are_told_apart() {
        let called = |expression: &str| {
            let direct = RustSource::parse(&format!("fn f() {{ {expression} }}")).unwrap();
            let in_a_macro = RustSource::parse(&format!("fn f() {{ given!({expression}) }}")).unwrap();
            let [direct, in_a_macro] = [direct, in_a_macro].map(|it| {
                it.paths.iter().find(|path| path.has(&["mpsc", "channel"])).unwrap().called_without_arguments
            });
            assert_eq!(direct, in_a_macro, "{expression}");
            direct
        };
        assert!(called("mpsc::channel()"));
        assert!(called("mpsc::channel::<Vec<u8>>()"));
        assert!(!called("mpsc::channel(8)"));
        assert!(!called("mpsc::channel"));
    }

    #[test]
    fn lines_are_counted() {
        let source = RustSource::parse("/*\n*/ const A: &str = \"\n\";\n\nconst B: u8 = a::b;").unwrap();
        let path = source.paths.iter().find(|path| path.has(&["a", "b"])).unwrap();
        assert_eq!(path.line, 5);
    }

    #[test]
    fn a_text_that_is_not_rust_is_refused() {
        assert!(RustSource::parse("fn f( {").is_err());
    }
}
