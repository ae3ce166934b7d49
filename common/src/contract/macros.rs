//! The `contract!` macro.

/// Declares a contract: its channels and calls become types. See [the module](mod@crate::contract) for an example.
///
/// ```text
/// pub contract TYPE = "name";
/// channel TYPE = "name": MessageType;
/// channel TYPE { parameter, … } = "name:{parameter}": MessageType;
/// call TYPE = "name": fn(RequestType) -> ResponseType;
/// stream TYPE = "name": fn(RequestType) -> ResponseType;
/// ```
///
/// A `call` has one response. A `stream` is called in the same way, and has any number of responses. The type of either
/// is a unit struct: `TYPE` is also a value that stands for the procedure.
///
/// The main items of each type need no import of a trait: channels have `name`, `parse` and `PATTERN`, calls and
/// streams `name` and `NAME`, the contract `NAME`, `HASH`, `ITEMS`, `id` and `digest`.
///
/// A channel without parameters is a type with `TYPE::new()`. With parameters, `TYPE::new(…)` returns an error if a
/// value is empty or contains `:` or `/`, and each parameter is a method that returns its value. A parameter called
/// `name`, `parse` or `parameter` has no method of its own: `channel.parameter("name")` returns its value. A parameter
/// in raw form, `r#type`, is `{type}` in the pattern. A pattern that does not match its parameters does not compile:
///
/// ```compile_fail
/// wirehub_common::contract! {
///     pub contract Chat = "chat";
///     channel Room { room } = "chat:{name}": String;
/// }
/// ```
///
/// The same holds for a parameter whose name is not an identifier (`self`, `Self`, `super`, `crate`, and `type` and
/// other keywords in plain form), and for `new`, which is the constructor:
///
/// ```compile_fail
/// wirehub_common::contract! {
///     pub contract Chat = "chat";
///     channel Room { new } = "chat:{new}": String;
/// }
/// ```
///
/// ```compile_fail
/// wirehub_common::contract! {
///     pub contract Chat = "chat";
///     channel Room { self } = "chat:{self}": String;
/// }
/// ```
///
/// ```compile_fail
/// wirehub_common::contract! {
///     pub contract Chat = "chat";
///     channel Room { type } = "chat:{type}": String;
/// }
/// ```
///
/// With the feature `typescript` of the using crate, the contract's type also implements
/// `wirehub_common::contract::typescript::TypeScript`. That feature has to turn on the one of `wirehub-common`.
#[macro_export]
macro_rules! contract {
    ($(#[$meta:meta])* $vis:vis contract $contract:ident = $name:literal; $($items:tt)*) => {
        $crate::__contract_items! { $vis, $($items)* }

        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $contract;

        #[allow(dead_code, reason = "few programs need each of them")]
        impl $contract {
            /// The contract's name.
            $vis const NAME: &'static str = $name;

            /// The hash of the contract's name and items, independent of the order of their declaration.
            $vis const HASH: $crate::contract::ContractHash = <Self as $crate::contract::Contract>::HASH;

            /// The contract's channels, calls and streams in the order of their declaration.
            $vis const ITEMS: &'static [$crate::contract::Item] = <Self as $crate::contract::Contract>::ITEMS;

            /// The contract by name and hash.
            #[must_use]
            $vis fn id() -> $crate::frame::ContractId {
                <Self as $crate::contract::Contract>::id()
            }

            /// The contract with its items, for a client's configuration.
            #[must_use]
            $vis fn digest() -> $crate::frame::ContractDigest {
                <Self as $crate::contract::Contract>::digest()
            }
        }

        const _: () = {
            const ITEMS: &[$crate::contract::Item] = $crate::__contract_table! { []; $($items)* };

            impl $crate::contract::Contract for $contract {
                const NAME: &'static str = $name;
                const HASH: $crate::contract::ContractHash = {
                    // A sum, because the ends do not have to agree on the order of the declarations.
                    let mut sum = 0_u64;
                    let mut rest = ITEMS;
                    while let [item, behind @ ..] = rest {
                        sum = sum.wrapping_add(item.hash.0);
                        rest = behind;
                    }
                    let name = $crate::contract::hash_text($name);
                    $crate::contract::ContractHash($crate::contract::combine(&[name, sum]))
                };
                const ITEMS: &'static [$crate::contract::Item] = ITEMS;
            }
        };

        // A crate without TypeScript has no such feature.
        #[allow(unexpected_cfgs)]
        const _: () = {
            #[cfg(feature = "typescript")]
            impl $crate::contract::typescript::TypeScript for $contract {
                fn describe(module: &mut $crate::contract::typescript::Module) {
                    $crate::__contract_typescript! { module; $($items)* }
                }
            }
        };
    };
}

/// The types of the items.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_items {
    ($vis:vis,) => {};
    ($vis:vis, $(#[$meta:meta])* channel $channel:ident = $pattern:literal: $message:ty; $($rest:tt)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        $vis struct $channel {
            name: $crate::ChannelName,
        }

        impl $channel {
            /// The channel.
            #[allow(clippy::new_without_default, clippy::expect_used, clippy::missing_panics_doc)]
            pub fn new() -> Self {
                // The pattern was checked at compile time.
                Self { name: $crate::ChannelName::new($pattern).expect("a valid channel name") }
            }
        }

        impl $crate::contract::Channel for $channel {
            type Message = $message;
            const PATTERN: &'static str = $pattern;

            fn name(&self) -> &$crate::ChannelName {
                &self.name
            }

            fn parse(name: &$crate::ChannelName) -> ::core::option::Option<Self> {
                (name.as_str() == $pattern).then(|| Self { name: name.clone() })
            }
        }

        $crate::__contract_channel! { $vis $channel = $pattern }

        $crate::__contract_items! { $vis, $($rest)* }
    };
    (
        $vis:vis,
        $(#[$meta:meta])*
        channel $channel:ident { $($parameter:ident),+ $(,)? } = $pattern:literal: $message:ty;
        $($rest:tt)*
    ) => {
        $crate::__contract_parameters! { [$($parameter)+] {
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            $vis struct $channel {
                name: $crate::ChannelName,
                // An array instead of fields, because a field could have the name of the one above.
                parameters: [::std::boxed::Box<str>; [$(stringify!($parameter)),+].len()],
            }

            impl $channel {
                /// The channel with these parameters.
                ///
                /// # Errors
                /// A parameter is empty or contains `:`, `/`, white space or a control character, or the name is too
                /// long.
                pub fn new(
                    $($parameter: impl ::core::convert::AsRef<str>),+
                ) -> ::core::result::Result<Self, $crate::ChannelNameError> {
                    let name = $crate::contract::pattern::fill($pattern, &[$($parameter.as_ref()),+])?;
                    ::core::result::Result::Ok(Self { name, parameters: [$($parameter.as_ref().into()),+] })
                }

                $($crate::__contract_parameter! { $parameter of $pattern })+

                /// The value of a parameter; `None` if the channel has none with this name.
                #[allow(dead_code, reason = "few programs need it")]
                pub fn parameter(&self, name: &str) -> ::core::option::Option<&str> {
                    let names = [$(stringify!($parameter)),+];
                    let place = names.iter().position(|known| known.trim_start_matches("r#") == name)?;
                    self.parameters.get(place).map(|value| &**value)
                }
            }

            impl $crate::contract::Channel for $channel {
                type Message = $message;
                const PATTERN: &'static str = $pattern;

                fn name(&self) -> &$crate::ChannelName {
                    &self.name
                }

                fn parse(name: &$crate::ChannelName) -> ::core::option::Option<Self> {
                    let values = $crate::contract::pattern::parse($pattern, name.as_str())?;
                    let values: [&str; _] = ::core::convert::TryInto::try_into(values).ok()?;
                    ::core::option::Option::Some(Self {
                        name: name.clone(),
                        parameters: values.map(::core::convert::Into::into),
                    })
                }
            }
        } }

        $crate::__contract_channel! { $vis $channel = $pattern }

        $crate::__contract_items! { $vis, $($rest)* }
    };
    (
        $vis:vis,
        $(#[$meta:meta])* call $call:ident = $name:literal: fn($request:ty) -> $response:ty;
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $call;

        impl $crate::contract::Call for $call {
            type Request = $request;
            type Response = $response;
            const NAME: &'static str = $name;
        }

        $crate::__contract_name! { $vis $call = $name }

        $crate::__contract_items! { $vis, $($rest)* }
    };
    (
        $vis:vis,
        $(#[$meta:meta])* stream $call:ident = $name:literal: fn($request:ty) -> $response:ty;
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $call;

        impl $crate::contract::StreamCall for $call {
            type Request = $request;
            type Response = $response;
            const NAME: &'static str = $name;
        }

        $crate::__contract_name! { $vis $call = $name }

        $crate::__contract_items! { $vis, $($rest)* }
    };
}

/// The method of a parameter, unless the channel has another method with that name.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_parameter {
    (name of $pattern:literal) => {};
    (parse of $pattern:literal) => {};
    (parameter of $pattern:literal) => {};
    ($parameter:ident of $pattern:literal) => {
        /// The channel's parameter of this name.
        pub fn $parameter(&self) -> &str {
            const PLACE: usize = $crate::contract::pattern::place($pattern, stringify!($parameter));
            &self.parameters[PLACE]
        }
    };
}

/// The items, if the names of the parameters are allowed. For other keywords the compiler itself explains the raw form.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_parameters {
    ([] { $($items:tt)* }) => { $($items)* };
    ([self $($rest:ident)*] $items:tt) => { $crate::__contract_no_parameter! { self } };
    ([Self $($rest:ident)*] $items:tt) => { $crate::__contract_no_parameter! { Self } };
    ([super $($rest:ident)*] $items:tt) => { $crate::__contract_no_parameter! { super } };
    ([crate $($rest:ident)*] $items:tt) => { $crate::__contract_no_parameter! { crate } };
    ([new $($rest:ident)*] $items:tt) => {
        compile_error! {
            "a channel's parameter can't be called `new`, which is the constructor: use another name"
        }
    };
    ([$parameter:ident $($rest:ident)*] $items:tt) => {
        $crate::__contract_parameters! { [$($rest)*] $items }
    };
}

/// The error about a parameter with that name.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_no_parameter {
    ($name:ident) => {
        compile_error! {
            concat!("a channel's parameter can't be called `", stringify!($name), "`: use another name")
        }
    };
}

/// The methods of a channel without an import.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_channel {
    ($vis:vis $channel:ident = $pattern:literal) => {
        #[allow(dead_code, reason = "few programs need each of them")]
        impl $channel {
            /// The channel's name with the parameters in braces.
            $vis const PATTERN: &'static str = $pattern;

            /// The channel's name.
            #[must_use]
            $vis fn name(&self) -> &$crate::ChannelName {
                &self.name
            }

            /// The channel of this type with that name.
            #[must_use]
            $vis fn parse(name: &$crate::ChannelName) -> ::core::option::Option<Self> {
                <Self as $crate::contract::Channel>::parse(name)
            }
        }
    };
}

/// The name of a call or a stream without an import.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_name {
    ($vis:vis $call:ident = $name:literal) => {
        #[allow(dead_code, reason = "few programs need each of them")]
        impl $call {
            /// The procedure's name.
            $vis const NAME: &'static str = $name;

            /// The procedure's name.
            #[must_use]
            $vis const fn name(self) -> &'static str {
                Self::NAME
            }
        }
    };
}

/// The items as a constant slice.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_table {
    ([$($done:expr,)*];) => { &[$($done,)*] };
    (
        [$($done:expr,)*];
        $(#[$meta:meta])*
        channel $channel:ident $({ $($parameter:ident),+ $(,)? })? = $pattern:literal: $message:ty;
        $($rest:tt)*
    ) => {
        $crate::__contract_table! {
            [$($done,)* {
                assert!(
                    $crate::contract::pattern::is_valid($pattern, &[$($(stringify!($parameter)),+)?]),
                    "a channel's pattern has each of its parameters once, in order, in braces, followed by `:`, `/` \
                     or the end",
                );
                $crate::contract::Item::channel::<$message>($pattern)
            },];
            $($rest)*
        }
    };
    (
        [$($done:expr,)*];
        $(#[$meta:meta])* call $call:ident = $name:literal: fn($request:ty) -> $response:ty;
        $($rest:tt)*
    ) => {
        $crate::__contract_table! {
            [$($done,)* $crate::contract::Item::call::<$request, $response>($name),];
            $($rest)*
        }
    };
    (
        [$($done:expr,)*];
        $(#[$meta:meta])* stream $call:ident = $name:literal: fn($request:ty) -> $response:ty;
        $($rest:tt)*
    ) => {
        $crate::__contract_table! {
            [$($done,)* $crate::contract::Item::stream::<$request, $response>($name),];
            $($rest)*
        }
    };
}

/// The items' TypeScript.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_typescript {
    ($module:ident;) => {};
    (
        $module:ident;
        $(#[$meta:meta])*
        channel $channel:ident $({ $($parameter:ident),+ $(,)? })? = $pattern:literal: $message:ty;
        $($rest:tt)*
    ) => {
        $module.channel::<$message>($pattern);
        $crate::__contract_typescript! { $module; $($rest)* }
    };
    (
        $module:ident;
        $(#[$meta:meta])* call $call:ident = $name:literal: fn($request:ty) -> $response:ty;
        $($rest:tt)*
    ) => {
        $module.call::<$request, $response>($name);
        $crate::__contract_typescript! { $module; $($rest)* }
    };
    (
        $module:ident;
        $(#[$meta:meta])* stream $call:ident = $name:literal: fn($request:ty) -> $response:ty;
        $($rest:tt)*
    ) => {
        $module.stream::<$request, $response>($name);
        $crate::__contract_typescript! { $module; $($rest)* }
    };
}
