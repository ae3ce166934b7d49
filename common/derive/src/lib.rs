//! The macros of `wirehub-common`. Use `Schema` through that crate; `message` is for its own frames.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::{Attribute, Data, DeriveInput, Fields, LitStr, Path, Type, parse_macro_input, parse_quote};

mod message;

/// Implements `wirehub_common::contract::Schema`: a hash of the type's source text, with its serde attributes and the
/// hashes of its fields' types. Changes without effect on the encoding (documentation, other attributes, visibility, a
/// trailing comma) do not change the hash.
///
/// A field with `#[schema(opaque)]` counts only by the name of its type. Use it for types that contain themselves, and
/// for types of other crates without a `Schema`.
///
/// The generated code needs `wirehub-common`, directly or through `wirehub-client`, `wirehub-client-wasm` or
/// `wirehub-server`. It uses the one in the package's `Cargo.toml`, also under another name. If the package has it in
/// another way, `#[schema(crate = "path::to::common")]` on the type is the path to it.
#[proc_macro_derive(Schema, attributes(schema))]
pub fn derive_schema(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    schema(input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a message of Wirehub's protocol. It is for `wirehub-common` alone: the code names its modules. A field has its
/// number in `wirehub.proto`. Its type decides the encoding, the checks and the return type of the view's method:
///
/// ```text
/// #[message(view)]
/// #[derive(Debug, Clone, PartialEq, Eq)]
/// pub struct Movement {
///     #[field(1, required)]
///     pub channel: ChannelName,
///     #[field(2, always)]
///     pub member: Member,
/// }
/// ```
///
/// The message's options:
/// - `view`: servers send it. The struct of the same name in `view` gets a method for each field, and `read`.
/// - `shares`: the value shares bytes with the frame it is read from. It has a payload, or a message with one.
/// - `json = "path"`: serde reads and writes the message as this struct, because JSON has other fields.
///
/// A field's options:
/// - `required`: a message without the field is refused.
/// - `always`: JSON always has the field. Without the option, JSON leaves it out where it has the value of an absent one.
/// - `json_text`: the text is JSON, and stands in JSON as the value itself.
/// - `absent = path`: the function that returns the value of an absent field, where that is not the type's default.
///
/// A payload takes two numbers, its own for the content tag and the next one for the data. A `Result` takes two for its success
/// and its error.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn message(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let options = parse_macro_input!(options as message::Options);
    let item = parse_macro_input!(item as syn::ItemStruct);
    message::message(&options, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn schema(mut input: DeriveInput) -> syn::Result<TokenStream> {
    let common = chosen_common(&input.attrs)?.unwrap_or_else(common);
    let fields = field_types(&mut input)?;
    input.attrs.retain(is_serde);
    input.vis = syn::Visibility::Inherited;
    let own = fnv(input.to_token_stream());

    let DeriveInput { ident, mut generics, .. } = input;
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#common::contract::Schema));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics #common::contract::Schema for #ident #type_generics #where_clause {
            const HASH: u64 = #common::contract::combine(&[
                #own,
                #(<#fields as #common::contract::Schema>::HASH,)*
            ]);
        }
    })
}

/// The path in `#[schema(crate = "…")]`.
fn chosen_common(attributes: &[Attribute]) -> syn::Result<Option<TokenStream>> {
    let mut chosen = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("schema")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("a type has only the option `crate = \"path::to::common\"`"));
            }
            let path: LitStr = meta.value()?.parse()?;
            chosen = Some(path.parse::<Path>()?.into_token_stream());
            Ok(())
        })?;
    }
    Ok(chosen)
}

/// The packages that contain `wirehub-common`, and the path to it in each.
const PACKAGES: [(&str, Option<&str>); 5] = [
    ("wirehub-common", None),
    ("wirehub-client", Some("common")),
    ("wirehub-client-wasm", Some("common")),
    ("wirehub-server", Some("common")),
    ("wirehub-hub", Some("common")),
];

/// The path to `wirehub-common` from the package that is being compiled, by its `Cargo.toml`. A macro has no other
/// source for it: the path has to be valid in the package itself.
fn common() -> TokenStream {
    let found =
        PACKAGES.iter().find_map(|(package, within)| Some((package, within, crate_name(package).ok()?)));
    // Without a manifest, as under other build tools, the compiler reports the missing crate.
    let Some((package, within, found)) = found else { return quote!(::wirehub_common) };
    let name = match found {
        FoundCrate::Name(name) => name,
        // Its documentation, examples and tests use the package's own name.
        FoundCrate::Itself => package.replace('-', "_"),
    };
    let name = Ident::new(&name, Span::call_site());
    let within = within.map(|module| Ident::new(module, Span::call_site())).into_iter();
    quote!(::#name #(::#within)*)
}

/// Removes the parts that do not count; returns the types whose own hashes do.
fn field_types(input: &mut DeriveInput) -> syn::Result<Vec<Type>> {
    let mut types = Vec::new();
    match &mut input.data {
        Data::Struct(data) => visit_fields(&mut data.fields, &mut types)?,
        Data::Enum(data) => {
            data.variants.pop_punct();
            for variant in &mut data.variants {
                variant.attrs.retain(is_serde);
                visit_fields(&mut variant.fields, &mut types)?;
            }
        }
        Data::Union(data) => {
            return Err(syn::Error::new_spanned(
                data.union_token,
                "a union can't be a message: use a struct or an enum",
            ));
        }
    }
    Ok(types)
}

fn visit_fields(fields: &mut Fields, types: &mut Vec<Type>) -> syn::Result<()> {
    match fields {
        Fields::Named(fields) => drop(fields.named.pop_punct()),
        Fields::Unnamed(fields) => drop(fields.unnamed.pop_punct()),
        Fields::Unit => {}
    }
    for field in fields {
        let mut opaque = false;
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("schema")) {
            attribute.parse_nested_meta(|meta| {
                opaque = meta.path.is_ident("opaque");
                if opaque { Ok(()) } else { Err(meta.error("a field has only the option `opaque`")) }
            })?;
        }
        if !opaque {
            types.push(field.ty.clone());
        }
        field.attrs.retain(is_serde);
        field.vis = syn::Visibility::Inherited;
    }
    Ok(())
}

fn is_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde")
}

/// FNV-1a over the tokens one by one, because the printed form of a token stream differs between compilers.
fn fnv(tokens: TokenStream) -> u64 {
    fn eat(hash: &mut u64, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    fn walk(hash: &mut u64, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    eat(hash, open);
                    walk(hash, group.stream());
                    eat(hash, close);
                }
                TokenTree::Punct(punct) => eat(hash, punct.as_char().encode_utf8(&mut [0; 4])),
                TokenTree::Ident(ident) => eat(hash, &ident.to_string()),
                TokenTree::Literal(literal) => eat(hash, &literal.to_string()),
            }
        }
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    walk(&mut hash, tokens);
    hash
}
