//! Properties that hold for any text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use super::*;

/// A text that is neither a key, a word nor a file name of any setting.
fn secret() -> impl Strategy<Value = String> {
    "[a-z][0-9][a-zA-Z0-9+/=:@ #%-]{14,40}[a-z]"
}

/// Values with a secret in place of the `§`. Most of them have the wrong type for their key, and some are not TOML.
const VALUES: [&str; 19] = [
    r#""§""#,
    "'§'",
    "\"\"\"\n§\n\"\"\"",
    "\'\'\'§",
    r#""§"#,
    "§",
    r#"["§", 1]"#,
    r#"[["§"]]"#,
    r#"{ file = "§" }"#,
    r#"{ env = "§", file = "§" }"#,
    r#"{ fil = "§" }"#,
    r#"{ file = ["§"] }"#,
    r#"{ "§" = true }"#,
    r#""https://user:§@backend.example/""#,
    r#""https://backend.example/?key=§""#,
    r#""-----BEGIN PRIVATE KEY-----\n§\n""#,
    r#""§" "§""#,
    "1_§",
    r#""\q§""#,
];

fn value() -> impl Strategy<Value = &'static str> {
    select(&VALUES[..])
}

/// A change of a line with a key and a value.
#[derive(Debug, Clone)]
enum Change {
    Secret(Index, &'static str),
    /// The key gets another name.
    Key(Index, String, &'static str),
    Left(Index),
    Twice(Index),
    Broken(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), value()).prop_map(|(at, value)| Change::Secret(at, value)),
        2 => (at(), "[a-z_.]{1,10}", value()).prop_map(|(at, key, value)| Change::Key(at, key, value)),
        3 => at().prop_map(Change::Left),
        1 => at().prop_map(Change::Twice),
        1 => at().prop_map(Change::Broken),
    ]
}

/// The lines of the template with every setting in force.
fn everything() -> Vec<String> {
    let bare = TEMPLATE.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
    let is_setting = |line: &&str| line.starts_with('[') || line.split(' ').nth(1) == Some("=");
    bare.filter(is_setting).map(str::to_owned).collect()
}

fn changed(changes: &[Change], secret: &str) -> String {
    let mut lines = everything();
    for change in changes {
        let (Change::Secret(at, _)
        | Change::Key(at, ..)
        | Change::Left(at)
        | Change::Twice(at)
        | Change::Broken(at)) = change;
        let line = at.get(&lines).clone();
        let at = at.index(lines.len());
        let key = line.split(" = ").next().unwrap_or_default();
        lines[at] = match change {
            // The header of a section is not changed.
            Change::Secret(..) | Change::Key(..) if line.starts_with('[') => line,
            Change::Secret(_, value) => format!("{key} = {}", value.replace('§', secret)),
            Change::Key(_, key, value) => format!("{key} = {}", value.replace('§', secret)),
            Change::Left(_) => String::new(),
            Change::Twice(_) => format!("{line}\n{line}"),
            Change::Broken(_) => line.chars().take(line.chars().count() / 2).collect(),
        };
    }
    lines.join("\n")
}

/// Settings and their parts, in disorder.
fn toml_like() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "[",
        "]",
        "[[",
        "]]",
        "\n",
        "\n",
        " = ",
        ".",
        "\"",
        "'",
        "{",
        "}",
        ",",
        "#",
        "server",
        "tokens",
        "keys",
        "webhooks",
        "secret",
        "file",
        "namespace",
        "chat",
        "limits",
        "listen",
        "\"1MiB\"",
        "\"25s\"",
        "1",
        "-1",
        "true",
        "0x",
        "1e9",
        "1979-05-27",
        "\\u0000",
        "é",
        "\u{0}",
        "\r",
        "\"\"\"",
        "[server]\n",
        "[[tokens.keys]]\n",
        "[namespace.chat]\n",
        "ping_interval = ",
        "history_size = ",
        "99999999999999999999",
    ]);
    vec(pieces, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_gets_mistakes(text in prop_oneof![any::<String>(), toml_like()]) {
        match parse(&text) {
            Ok(config) => {
                let _ = apply(&config, Hub::builder());
                let _ = (config.listen(), config.admin(), config.log_filter(), config.signer());
            }
            Err(words) => prop_assert!(words.starts_with(PATH)),
        }
    }

    #[test]
    fn any_environment_is_a_configuration_or_gets_mistakes(
        name in "(SERVER|TOKENS|WEBHOOKS|LIMITS|NAMESPACE__CHAT|X|)(__(KEYS|SECRET|LISTEN|[A-Z_]{0,6}))?",
        secret in secret(),
        value in value(),
    ) {
        let name = format!("WIREHUB_{name}");
        for value in [value.replace('§', &secret), secret.clone()] {
            if let Err(words) = parse_with("", &[(&name, &value)]) {
                prop_assert!(!words.contains(&secret), "{}", words);
            }
        }
    }
}

/// With any number of secrets in wrong places and forms, beside any other mistakes.
#[test]
fn no_error_repeats_a_secret_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    let mut runner = TestRunner::new(ProptestConfig::with_cases(128));
    let result = runner.run(&(vec(change(), 1..6), secret()), |(changes, secret)| {
        let text = changed(&changes, &secret);
        fs::write(&file, &text).unwrap();
        if let Err(error) = Config::check(&file) {
            let words = error.to_string().to_ascii_lowercase();
            prop_assert!(!words.contains(&secret.to_ascii_lowercase()), "{}\n{}", text, words);
        }
        Ok(())
    });
    result.unwrap();
}
