//! The attribute `message`: it generates codecs and view of a message from the one declaration of its fields.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::Parse;
use syn::{
    Attribute, Error, Fields, GenericArgument, ItemStruct, LitInt, LitStr, Path, PathArguments, Result,
    Token, Type,
};

/// The options of `#[message(…)]`.
#[derive(Default)]
pub(crate) struct Options {
    /// Servers send the message, so it has a view of the same name.
    view: bool,
    /// The value shares bytes with its frame.
    shares: bool,
    /// The struct for serde, if it is written by hand.
    json: Option<LitStr>,
}

impl Parse for Options {
    fn parse(input: syn::parse::ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            match name.to_string().as_str() {
                "view" => options.view = true,
                "shares" => options.shares = true,
                "json" => {
                    input.parse::<Token![=]>()?;
                    options.json = Some(input.parse()?);
                }
                _ => return Err(Error::new(name.span(), "the options are `view`, `shares` and `json`")),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

/// The declaration of a field.
struct Field {
    name: Ident,
    kind: Type,
    docs: Vec<Attribute>,
    number: u32,
    /// A message without the field is invalid.
    required: bool,
    /// JSON contains the field even if it has the value of an absent field.
    always: bool,
    /// The text is JSON, and is embedded in JSON as a value.
    json_text: bool,
    /// The function that returns the value of an absent field, if that is not the type's default.
    absent: Option<Path>,
}

pub(crate) fn message(options: &Options, mut item: ItemStruct) -> Result<TokenStream> {
    let fields = take_fields(&mut item)?;
    let mut by_number: Vec<_> = fields.iter().collect();
    by_number.sort_by_key(|field| field.number);

    let rules = by_number.iter().map(
        |Field { number, kind, required, .. }| quote!((#number, <#kind as FieldType>::RULES, #required)),
    );
    let shares = fields.iter().map(|Field { kind, .. }| quote!(<#kind as FieldType>::SHARES));
    let writes = by_number
        .iter()
        .map(|Field { name, number, .. }| quote!(FieldType::write(&self.#name, #number, out);));
    let reads = fields
        .iter()
        .map(|Field { name, number, .. }| quote!(#name: FieldType::read(fields, #number, whole)));
    let name = &item.ident;
    let implementation = quote! {
        const _: () = {
            use crate::codec::protobuf::field::{FieldType, MessageType};
            use crate::codec::protobuf::{check, message::Message};
            use crate::codec::wire::{Encode, Writer};

            impl MessageType for #name {
                const FIELDS: check::Shape = check::shape(&[#(#rules),*]);
                const SHARES: bool = false #(|| #shares)*;

                fn read(fields: Message<'_>, whole: &crate::Bytes) -> Self {
                    Self { #(#reads),* }
                }
            }

            impl Encode for #name {
                fn encode(&self, out: &mut Writer) {
                    #(#writes)*
                }
            }
        };
    };
    let view = if options.view { Some(view(name, &fields, options.shares)?) } else { None };
    let json = json(options.json.as_ref(), &mut item, &fields);
    Ok(quote!(#item #implementation #view #json))
}

/// Removes the attributes `field` from the struct.
fn take_fields(item: &mut ItemStruct) -> Result<Vec<Field>> {
    let Fields::Named(named) = &mut item.fields else {
        return Err(Error::new_spanned(&item.ident, "a message has named fields"));
    };
    let mut fields = Vec::new();
    for field in &mut named.named {
        let Some(at) = field.attrs.iter().position(|attribute| attribute.path().is_ident("field")) else {
            return Err(Error::new_spanned(
                &*field,
                "say which field of `wirehub.proto` it is: `#[field(1)]`",
            ));
        };
        let attribute = field.attrs.remove(at);
        let docs = field.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned();
        let mut read = Field {
            name: field.ident.clone().unwrap_or_else(|| Ident::new("_", Span::call_site())),
            kind: field.ty.clone(),
            docs: docs.collect(),
            number: 0,
            required: false,
            always: false,
            json_text: false,
            absent: None,
        };
        attribute.parse_args_with(|input: syn::parse::ParseStream<'_>| {
            read.number = input.parse::<LitInt>()?.base10_parse()?;
            while !input.is_empty() {
                input.parse::<Token![,]>()?;
                let option: Ident = input.parse()?;
                match option.to_string().as_str() {
                    "required" => read.required = true,
                    "always" => read.always = true,
                    "json_text" => read.json_text = true,
                    "absent" => {
                        input.parse::<Token![=]>()?;
                        read.absent = Some(input.parse()?);
                    }
                    _ => {
                        let options = "the options are `required`, `always`, `json_text` and `absent = path`";
                        return Err(Error::new(option.span(), options));
                    }
                }
            }
            Ok(())
        })?;
        fields.push(read);
    }
    Ok(fields)
}

/// The methods of the message's view: one for each field, and one for the value.
fn view(name: &Ident, fields: &[Field], shares: bool) -> Result<TokenStream> {
    let methods = fields.iter().map(|field| {
        let Field { name, kind, docs, number, .. } = field;
        let (seen, look) = seen(kind, number)?;
        Ok(quote!(#(#docs)* pub fn #name(self) -> #seen { #look }))
    });
    let methods = methods.collect::<Result<Vec<_>>>()?;
    let read = if shares {
        quote! {
            /// The view as a value. It shares its bytes with `message`, the source of the view.
            pub fn read(self, message: &crate::Bytes) -> #name {
                crate::codec::protobuf::field::MessageType::read(self.0, message)
            }
        }
    } else {
        quote! {
            /// The view as a value.
            pub fn read(self) -> #name {
                use crate::codec::protobuf::field::MessageType;
                const { assert!(!<#name as MessageType>::SHARES, "the message has to be one that `shares`") };
                MessageType::read(self.0, &crate::Bytes::new())
            }
        }
    };
    Ok(quote! {
        #[allow(clippy::missing_errors_doc, reason = "a result is what the message says")]
        impl<'a> crate::view::#name<'a> {
            #(#methods)*
            #read
        }
    })
}

/// The type of a field in a view, and the code that reads it.
fn seen(kind: &Type, number: &u32) -> Result<(TokenStream, TokenStream)> {
    let (outer, inner) = named(kind)?;
    let first = inner.first();
    Ok(match (outer.to_string().as_str(), first) {
        ("bool", _) => (quote!(bool), quote!(self.0.flag(#number))),
        ("u32", _) => (quote!(u32), quote!(self.0.narrow(#number))),
        ("u64", _) => (quote!(u64), quote!(self.0.number(#number))),
        ("Duration", _) => (quote!(#kind), quote!(self.0.duration(#number))),
        ("String" | "ChannelName", _) => (quote!(&'a str), quote!(self.0.text(#number))),
        ("Bytes", _) => (quote!(&'a [u8]), quote!(self.0.bytes(#number))),
        ("ErrorCode", _) => (quote!(#kind), quote!(self.0.error_code(#number))),
        ("CloseCode", _) => (quote!(#kind), quote!(self.0.close_code(#number))),
        ("ContractHash", _) => (quote!(#kind), quote!(ContractHash(self.0.fixed64(#number)))),
        ("Payload", _) => {
            (quote!(crate::view::Payload<'a>), quote!(crate::view::Payload::of(self.0, #number)))
        }
        ("Option", Some(number_type)) if *number_type == "u32" => {
            (quote!(Option<u32>), quote!(self.0.optional(#number).map(|_| self.0.narrow(#number))))
        }
        ("Option", Some(message)) => (
            quote!(Option<crate::view::#message<'a>>),
            quote!(self.0.message(#number).map(crate::view::#message)),
        ),
        ("Vec", Some(message)) => (
            quote!(impl Iterator<Item = crate::view::#message<'a>>),
            quote!(self.0.messages(#number).map(crate::view::#message)),
        ),
        ("Result", Some(good)) => {
            let bad = inner.get(1).ok_or_else(|| Error::new_spanned(kind, "say which error it is"))?;
            let next = number.saturating_add(1);
            (
                quote!(Result<crate::view::#good<'a>, crate::view::#bad<'a>>),
                quote!(match self.0.message(#number) {
                    Some(good) => Ok(crate::view::#good(good)),
                    None => Err(crate::view::#bad(self.0.message(#next).unwrap_or_default())),
                }),
            )
        }
        _ => (
            quote!(crate::view::#outer<'a>),
            quote!(crate::view::#outer(self.0.message(#number).unwrap_or_default())),
        ),
    })
}

/// The name of a type, and the names of its generic arguments.
fn named(kind: &Type) -> Result<(&Ident, Vec<&Ident>)> {
    let Type::Path(path) = kind else { return Err(Error::new_spanned(kind, "no type of a field")) };
    let last = path.path.segments.last().ok_or_else(|| Error::new_spanned(kind, "no type of a field"))?;
    let mut inner = Vec::new();
    if let PathArguments::AngleBracketed(arguments) = &last.arguments {
        for argument in &arguments.args {
            if let GenericArgument::Type(kind) = argument {
                inner.push(named(kind)?.0);
            }
        }
    }
    Ok((&last.ident, inner))
}

/// Adds serde's attributes to the struct. In JSON the two fields of a payload are beside the other fields, so a message with a
/// payload is read and written as another struct. That struct is returned.
fn json(by_hand: Option<&LitStr>, item: &mut ItemStruct, fields: &[Field]) -> Option<TokenStream> {
    let is_payload = |field: &Field| named(&field.kind).is_ok_and(|(name, _)| name == "Payload");
    let name = &item.ident;
    let payload = fields.iter().find(|field| is_payload(field)).map(|field| &field.name);
    let in_json = format_ident!("{name}InJson");
    let shape = match (by_hand, payload) {
        (Some(shape), _) => shape.value(),
        (None, Some(_)) => in_json.to_string(),
        (None, None) => {
            let derives = quote!(derive(serde::Serialize, serde::Deserialize));
            item.attrs.push(syn::parse_quote!(
                #[cfg_attr(feature = "json", #derives, serde(rename_all = "camelCase"))]
            ));
            for (declared, field) in item.fields.iter_mut().zip(fields) {
                let options = serde_options(field);
                declared.attrs.push(syn::parse_quote!(#[cfg_attr(feature = "json", serde(#(#options),*))]));
            }
            return None;
        }
    };
    item.attrs.push(syn::parse_quote!(
        #[cfg_attr(
            feature = "json",
            derive(serde::Serialize, serde::Deserialize),
            serde(try_from = #shape, into = #shape)
        )]
    ));
    let payload = payload.filter(|_| by_hand.is_none())?;
    let others = || fields.iter().filter(|field| !is_payload(field));
    let names: Vec<_> = others().map(|field| &field.name).collect();
    let declarations = others().map(|field| {
        let (Field { name, kind, .. }, options) = (field, serde_options(field));
        quote!(#[serde(#(#options),*)] #name: #kind)
    });
    Some(quote! {
        // serde's `flatten` is no alternative: it buffers, and the buffer does not preserve a raw value.
        #[cfg(feature = "json")]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct #in_json {
            #(#declarations,)*
            #[serde(default, skip_serializing_if = "crate::codec::shape::is_absent")]
            content: crate::Content,
            #[serde(
                default,
                deserialize_with = "crate::codec::shape::present",
                skip_serializing_if = "Option::is_none"
            )]
            data: crate::codec::shape::Data,
        }

        #[cfg(feature = "json")]
        impl From<#name> for #in_json {
            fn from(#name { #payload, #(#names),* }: #name) -> Self {
                let (content, data) = crate::codec::shape::write_payload(#payload);
                Self { #(#names,)* content, data }
            }
        }

        #[cfg(feature = "json")]
        impl TryFrom<#in_json> for #name {
            type Error = &'static str;

            fn try_from(#in_json { #(#names,)* content, data }: #in_json) -> Result<Self, Self::Error> {
                Ok(Self { #payload: crate::codec::shape::read_payload(content, &data)?, #(#names),* })
            }
        }
    })
}

/// The attributes by which serde reads and writes a field.
fn serde_options(field: &Field) -> Vec<TokenStream> {
    let mut options = Vec::new();
    if let Some(path) = &field.absent {
        let path = quote!(#path).to_string().replace(' ', "");
        options.push(quote!(default = #path));
    } else if !field.required {
        options.push(quote!(default));
    }
    if !field.required && !field.always {
        options.push(quote!(skip_serializing_if = "crate::codec::shape::is_absent"));
    }
    let kind = named(&field.kind).map(|(name, _)| name.to_string()).unwrap_or_default();
    match kind.as_str() {
        "Duration" => options.push(quote!(with = "crate::codec::shape::milliseconds")),
        "Bytes" => options.push(quote!(with = "crate::codec::shape::text_bytes")),
        "Vec" => options.push(quote!(deserialize_with = "crate::codec::shape::list")),
        _ if field.json_text => options.push(quote!(with = "crate::codec::shape::json_text")),
        _ => {}
    }
    options
}
