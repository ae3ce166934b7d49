//! The dependencies for declaring a contract: one crate of Wirehub, and errors that name the missing parts.
//!
//! Each package in `tests/one-crate` is checked by itself, because together with others it would have their features
//! too.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).arg("check").args(["--offline", "--quiet"]).args(arguments);
    cargo
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_contract_compiles_with_one_crate_of_wirehub() {
    for package in ["client", "browser", "server"] {
        let package = format!("wirehub-one-crate-{package}");
        let output = cargo(&["--package", &package]).output().unwrap();
        assert!(output.status.success(), "{package}: {}", words(&output));
    }
}

#[test]
fn the_compiler_names_the_missing_parts_of_a_contract() {
    let words = errors_of(
        r#"
        use serde::{Deserialize, Serialize};
        use wirehub_common::contract::{Call, Channel, Schema};

        struct Plain;
        #[derive(Serialize, Deserialize)]
        struct NoSchema;
        #[derive(Schema)]
        struct NoSerde;
        #[derive(Schema)]
        struct Parent { child: Plain }
        #[derive(Schema)]
        #[schema(krate = "x")]
        struct Misspelt;

        wirehub_common::contract! {
            pub contract C = "c";
            channel First = "first": NoSchema;
            channel Second = "second": NoSerde;
            stream Third = "third": fn(()) -> ();
        }

        fn subscribe<C: Channel>(_: &C) {}
        fn call<C: Call>() {}
        pub fn use_them() {
            subscribe(&"first");
            call::<Third>();
        }
        "#,
    );
    for expected in [
        "`NoSchema` is not a message of a contract",
        "the trait `Schema` is not implemented for `NoSchema`",
        "put `#[derive(serde::Serialize, serde::Deserialize, Schema)]` on it",
        "the trait `Serialize` is not implemented for `NoSerde`",
        "`Plain` can't be part of a message: it has no schema",
        "put `#[schema(opaque)]` on the field",
        "a type has only the option `crate = \"path::to::common\"`",
        "`&str` is not a channel of a contract",
        "`Third` is not a call of a contract",
        "a `stream` of the contract is a `StreamCall`",
    ] {
        assert!(words.contains(expected), "{expected} is not in:\n{words}");
    }
}

/// The compiler's errors about a package outside the workspace with this source and a dependency on `wirehub-common`.
fn errors_of(source: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let package = tempfile::tempdir().unwrap();
    let common = root.join("common");
    let text = format!(
        r#"
        [package]
        name = "wrong"
        version = "0.0.0"
        edition = "2024"

        [workspace]

        [lib]
        path = "lib.rs"

        [dependencies]
        serde = {{ version = "1", features = ["derive"] }}
        wirehub-common = {{ path = {common:?} }}
        "#
    );
    let manifest = package.path().join("Cargo.toml");
    std::fs::write(&manifest, text).unwrap();
    std::fs::write(package.path().join("lib.rs"), source).unwrap();
    // The versions of the workspace, so that nothing has to be downloaded.
    std::fs::copy(root.join("Cargo.lock"), package.path().join("Cargo.lock")).unwrap();
    let output = cargo(&["--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    words(&output)
}
