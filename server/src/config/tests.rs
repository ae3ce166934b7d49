use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use futures_util::FutureExt as _;
use wirehub_common::Limits;

use super::*;
use crate::jwt::Algorithm;

mod properties;
#[cfg(feature = "redis")]
mod redis;

const PATH: &str = "/etc/wirehub/wirehub.toml";

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
    Config::parse(text, variables, Path::new(PATH)).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Config, String> {
    parse_with(text, &[])
}

/// Applies a configuration whose engine has nothing to wait for.
fn apply(config: &Config, hub: Builder) -> Result<Builder, Error> {
    config.apply(hub).now_or_never().unwrap()
}

#[test]
fn the_template_and_every_key_in_it_are_valid() {
    apply(&parse(TEMPLATE).unwrap(), Hub::builder()).unwrap();
    // With every setting in force, the comments on keys hold too.
    let mut everything = String::new();
    for line in TEMPLATE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_setting = bare.starts_with('[') || bare.split(' ').nth(1) == Some("=");
        writeln!(everything, "{}", if is_setting { bare } else { line }).unwrap();
    }
    let config = parse(&everything).unwrap();
    assert_eq!(config.tokens.as_ref().unwrap().keys.len(), 4);
    assert_eq!(config.listen().unwrap().unwrap().to_string(), "127.0.0.1:8080");
    // The template shows the defaults.
    assert_eq!(config.limits.limits(), Limits::default());
    assert_eq!(config.server.drain_delay.unwrap().duration(), Duration::ZERO);
    let chat = config.namespace["chat"].namespace("chat").unwrap();
    assert_eq!(chat.history, Some(crate::namespace::History::new(100, Duration::from_secs(3600))));
}

#[test]
fn a_configuration_that_is_applied_sets_the_engine_and_never_replaces_one() {
    let bounded = parse("[limits]\nkept_bytes = \"1MiB\"").unwrap();
    assert!(apply(&bounded, Hub::builder()).unwrap().has_engine());
    let own = || Hub::builder().engine(crate::engine::MemoryEngine::new());
    let error = apply(&bounded, own()).unwrap_err().to_string();
    assert!(error.contains("limits.kept_bytes") && error.contains("an engine of its own"), "{error}");
    assert!(apply(&parse("").unwrap(), own()).is_ok());
}

#[test]
fn a_typo_is_reported_with_its_line_and_the_correction() {
    for (text, words) in [
        ("[server]\nlisen = \"127.0.0.1:1\"", &["line 2", "`server.lisen`", "did you mean `listen`?"][..]),
        ("[sever]", &["line 1", "sever", "`server`"]),
        ("[limits]\n\nping_interval = 25", &["line 3", "`limits.ping_interval`", "string"]),
        ("[limits]\nping_interval = \"25\"", &["line 2", "not a time", "\"25s\""]),
        ("[limits]\nmessage_bytes = \"1MB\"", &["line 2", "not a size", "\"1MiB\""]),
        ("[limits]\nmessage_bytes = true", &["line 2", "a size", "\"1MiB\""]),
        ("[namespace.chat]\npublish = \"nobody\"", &["line 2", "`namespace.chat.publish`", "`token-only`"]),
        ("[namespace.chat]\noverflow = \"drop-oldst\"", &["line 2", "did you mean \"drop-oldest\"?"]),
        ("[tls]\nkey = \"a\"", &["line 1", "`tls`", "`certificate` is missing"]),
        ("[server]\nlog = info", &["line 2", "invalid TOML"]),
        ("[server", &["line 1"]),
        ("[[tokens.keys]]\nalgoritm = \"HS256\"", &["line 2", "algoritm", "algorithm"]),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(PATH), "{error}");
        for word in words {
            assert!(error.contains(word), "{word} in: {error}");
        }
    }
}

#[test]
fn an_invalid_setting_is_reported_with_its_key() {
    let applied = |text: &str| apply(&parse(text).unwrap(), Hub::builder()).unwrap_err().to_string();
    for (text, words) in [
        ("[server]\nallow_origins = [\"app.example\"]", &["server.allow_origins"][..]),
        ("[proxy]\ntrusted = [\"proxy.example\"]", &["proxy.trusted", "10.0.0.0/8"]),
        ("[namespace.chat]\nhistory_size = 10", &["namespace.chat", "history_ttl"]),
        ("[namespace.chat]\njoin_leave = \"5s\"", &["namespace.chat", "`presence`"]),
        (
            "[namespace.chat]\nhistory_size = 10\nhistory_ttl = \"1h\"\noverflow = \"latest\"",
            &["namespace.chat", "latest", "history"],
        ),
        ("[tokens]", &["tokens.keys", "[[tokens.keys]]"]),
        (
            "[[tokens.keys]]\nalgorithm = \"none\"\nfile = \"x\"",
            &["line 1", "tokens.keys[0]", "cannot read the file"],
        ),
        ("[namespace.\"chat:*\"]", &["line 1", "[namespace.chat]", "[namespace.\"*\"]"]),
        ("[namespace.\"@ann\"]", &["[namespace.\"@\"]"]),
        ("[namespace.\"@all\"]", &["[namespace.\"@\"]"]),
        ("[namespace.\"two words\"]", &["no channel has"]),
        (
            "[server]\nallow_origins = [\"https://a.example\", \"https://a.*\"]",
            &["server.allow_origins[1]", "*.app.example"],
        ),
        ("[[tokens.keys]]\nalgorithm = \"HS256\"", &["tokens.keys[0]", "`file` or `env`"]),
        ("[[tokens.keys]]\nkey_set_url = \"login.example\"", &["tokens.keys[0]", "key_set_url", "https://"]),
        (
            "[[tokens.keys]]\nkey_set_url = \"https://a.example\"\nauthority = \"ca.pem\"",
            &["tokens.keys[0]", "/etc/wirehub/ca.pem"],
        ),
        (
            "[[tokens.keys]]\nkey_set_url = \"https://a.example\"\nkey_set = \"x\"",
            &["tokens.keys[0]", "one of these"],
        ),
        ("[[tokens.keys]]\nkey_set = \"jwks.json\"", &["tokens.keys[0]", "/etc/wirehub/jwks.json"]),
        (
            "[[tokens.keys]]\nalgorithm = \"HS256\"\nenv = \"WIREHUB_TEST_IS_NOT_SET\"",
            &["WIREHUB_TEST_IS_NOT_SET"],
        ),
    ] {
        let error = applied(text);
        for word in words {
            assert!(error.contains(word), "{word} in: {error}");
        }
    }
    assert!(
        parse("[server]\nlisten = \"here\"")
            .unwrap()
            .listen()
            .unwrap_err()
            .to_string()
            .contains("server.listen")
    );
}

#[test]
fn keys_are_read_from_files_and_a_bad_one_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("wirehub.toml", "[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"secret.key\"\n");
    write("secret.key", "0123456789abcdef0123456789abcdef\n");
    let config = Config::load(&file).unwrap();
    let mut mistakes = Mistakes::default();
    let (verifier, _) = config.tokens.as_ref().unwrap().verifier(false, &KeySets::default(), &mut mistakes);
    assert!(mistakes.is_empty());
    let signer = Signer::from_secret(Algorithm::Hs256, b"0123456789abcdef0123456789abcdef").unwrap();
    let token = signer.sign(&crate::auth::Authenticated::user("ann")).unwrap();
    assert!(verifier.verify(&token).is_ok(), "the line feed at the end is not part of the secret");

    write("secret.key", "swordfish");
    let error = apply(&config, Hub::builder()).unwrap_err().to_string();
    assert!(error.contains("32 bytes") && !error.contains("swordfish"), "{error}");
    assert!(!format!("{config:?}").contains("swordfish"));
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        Config::check(&file).map_err(|error| error.to_string())
    };
    let told = check(
        "[server]\nlisen = \"x\"\nlog = \"a=loud\"\nallow_origins = [\"a.example\", \"b.example\"]\n\
         [limits]\ncalls = \"many\"\nchanels = 3\nping_interval = \"25\"\n\
         [[tokens.keys]]\nalgoritm = \"HS256\"\nfile = \"a.key\"\n\
         [[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"b.key\"\n\
         [webhooks]\nsecret = \"x\"\n[webhooks.connec]\nurl = \"x\"\n[namespace.\"a:b\"]\n",
    )
    .unwrap_err();
    for words in [
        "12 mistakes",
        "line 2: `server.lisen`",
        "line 3: `server.log`",
        "line 4: `server.allow_origins[0]`",
        "line 4: `server.allow_origins[1]`",
        "line 6: `limits.calls`: the value must be a whole number",
        "line 7: `limits.chanels`: unknown key: did you mean `channels`?",
        "line 8: `limits.ping_interval`",
        "line 10: `tokens.keys[0].algoritm`: unknown key: did you mean `algorithm`?",
        "`tokens.keys[1]`: cannot read",
        "line 16: `webhooks.secret`",
        "line 17: `webhooks.connec`: unknown key: did you mean `connect`?",
        "line 19: `namespace.a:b`",
    ] {
        assert!(told.contains(words), "{words} in: {told}");
    }
    let told = check("[server]\nlisten = here\nlog = there\n[limits]\ncalls = 1\n").unwrap_err();
    assert!(told.contains("line 2: invalid TOML") && told.contains("line 3: invalid TOML"), "{told}");
    check("[namespace.chat]\nsubscribe = \"bearers\"\n").unwrap();
    check("[namespace.\"*\"]\nsubscribe = \"token-only\"\n[namespace.\"\"]\n[namespace.\"@\"]\n").unwrap();
}

/// Any value of any key may be a secret in the wrong place.
#[test]
fn no_error_repeats_a_value() {
    const SECRET: &str = "INLINESECRET0123456789012345678901";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    let told = |text: &str| {
        fs::write(&file, text).unwrap();
        let told = Config::check(&file).map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(!told.contains(SECRET) && !told.contains(&SECRET.to_ascii_lowercase()), "{text}\n{told}");
        told
    };
    let mut everything = Vec::new();
    for line in TEMPLATE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if bare.starts_with('[') || bare.split(' ').nth(1) == Some("=") {
            everything.push(bare);
        }
    }
    let keys: Vec<_> = everything.iter().enumerate().filter(|(_, line)| line.contains(" = ")).collect();
    assert!(keys.len() > 40, "{}", keys.len());
    for (index, line) in keys {
        let key = line.split(" = ").next().unwrap();
        let with = |line: String| {
            let mut lines: Vec<_> = everything.iter().map(|line| (*line).to_owned()).collect();
            lines[index] = line;
            told(&lines.join("\n"))
        };
        for value in [
            format!("\"{SECRET}\""),
            format!("\"\"\"-----BEGIN PRIVATE KEY-----\n{SECRET}\n\"\"\""),
            format!("\"https://user:{SECRET}@a.example\""),
            format!("[\"{SECRET}\"]"),
            format!("{{ file = \"{SECRET}\" }}"),
            format!("{{ env = \"{SECRET}\" }}"),
            format!("{{ {SECRET} = 1 }}"),
            SECRET.to_owned(),
            format!("\"{SECRET}"),
        ] {
            with(format!("{key} = {value}"));
        }
        assert!(with(format!("sekret = \"{SECRET}\"")).contains("sekret"), "{key}");
    }
    for text in [
        format!("[webhooks]\nsecret = \"{SECRET}\""),
        format!("[api]\nkeys = [\"{SECRET}\"]"),
        format!("[tokens]\nkeys = \"{SECRET}\""),
        format!("[[tokens.keys]]\nalgorithm = \"{SECRET}\"\nfile = \"wirehub.toml\""),
        format!("tokens = \"{SECRET}\""),
        format!("[tls]\ncertificate = \"{SECRET}\"\nkey = \"{SECRET}\""),
        format!("{SECRET} = 1"),
        format!("[{SECRET}]"),
        SECRET.to_owned(),
    ] {
        assert!(!told(&text).is_empty(), "{text}");
    }
    for name in [
        "WIREHUB_WEBHOOKS__SECRET",
        "WIREHUB_API__KEYS",
        "WIREHUB_TOKENS__SECRET",
        "WIREHUB_LIMITS__CALLS",
        "WIREHUB_TLS__KEY",
    ] {
        let error = parse_with("", &[(name, SECRET)]).unwrap_err();
        assert!(error.contains(name) && !error.contains(SECRET), "{error}");
    }
}

#[test]
fn an_invalid_key_set_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    fs::write(&file, "[[tokens.keys]]\nkey_set = \"set.json\"").unwrap();
    for text in ["\"swordfish\"", "{\"keys\": \"swordfish\"}", "swordfish", "{\"swordfish\": 1}"] {
        fs::write(folder.path().join("set.json"), text).unwrap();
        let error = Config::check(&file).unwrap_err().to_string();
        assert!(error.contains("set.json") && !error.contains("swordfish"), "{error}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nchannels = 5";
    let config = parse_with(
        text,
        &[
            ("WIREHUB_SERVER__LISTEN", "127.0.0.1:2"),
            ("WIREHUB_SERVER__ALLOW_ORIGINS", r#"["https://a.example"]"#),
            ("WIREHUB_NAMESPACE__CHAT__URGENT", "true"),
            ("WIREHUB_LIMITS__CALLS", "7"),
            ("WIREHUB_LOG", "debug"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen().unwrap().unwrap().to_string(), "127.0.0.1:2");
    assert_eq!((config.limits.limits().channels, config.limits.limits().calls), (5, 7));
    assert_eq!(config.server.allow_origins, ["https://a.example"]);
    assert!(config.namespace["chat"].urgent);

    for (name, value) in [
        ("WIREHUB_SERVER__LISEN", "x"),
        ("WIREHUB_LIMITS__CALLS", "many"),
        ("WIREHUB_SERVER__LISTEN__X", "1"),
    ] {
        let error = parse_with(text, &[(name, value)]).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_missing_file_is_reported_with_the_remedy() {
    let error = Config::load(Path::new("/nowhere/wirehub.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("config init"), "{error}");
}

#[test]
fn webhooks_need_a_secret_and_mistakes_are_reported_with_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    fs::write(folder.path().join("long.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::write(folder.path().join("short.key"), "swordfish\n").unwrap();
    let applied = |text: &str| {
        fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        apply(&config, Hub::builder()).map(drop).map_err(|error| error.to_string())
    };
    let secret = "[webhooks]\nsecret = { file = \"long.key\" }\n";
    let at = "url = \"http://127.0.0.1:1/\"\n";
    let connect = format!("{secret}[webhooks.connect]\n{at}");
    applied(&connect).unwrap();
    applied(&format!("[tokens]\ngrace = \"5s\"\n{connect}")).unwrap();
    applied(&format!("{secret}[[webhooks.calls]]\npattern = \"*\"\ntimeout = \"1m\"\n{at}")).unwrap();
    applied("[webhooks]\ntimeout = \"5s\"").unwrap();
    for (text, words) in [
        (format!("[webhooks.connect]\n{at}"), &["webhooks.secret", "{ file ="][..]),
        (connect.replace("long.key", "short.key"), &["webhooks.secret", "32 bytes"]),
        (connect.replace("long.key", "none.key"), &["webhooks.secret", "none.key"]),
        (connect.replace("http:", "ftp:"), &["webhooks.connect", "`url`", "https://"]),
        (format!("{connect}timeout = \"11s\""), &["webhooks.connect", "`timeout`", "10 s"]),
        (format!("{connect}timeout = \"0s\""), &["webhooks.connect", "`timeout`"]),
        (format!("{connect}concurrency = 0"), &["webhooks.connect", "`concurrency`"]),
        (
            format!("{secret}authority = \"long.key\"\n[webhooks.connect]\n{at}"),
            &["webhooks.authority", "CERTIFICATE"],
        ),
        (
            format!("{secret}[[webhooks.publish]]\npattern = \"a*b\"\n{at}"),
            &["webhooks.publish[0]", "chat:*"],
        ),
        (format!("{secret}[[webhooks.calls]]\npattern = \"a*b\"\n{at}"), &["webhooks.calls[0]", "billing.*"]),
        (
            format!("{connect}[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"long.key\""),
            &["tokens.keys", "[webhooks.connect]"],
        ),
    ] {
        let error = applied(&text).unwrap_err();
        for word in words {
            assert!(error.contains(word) && !error.contains("swordfish"), "{word} in: {error}");
        }
    }
    assert!(parse(&connect).unwrap().has_tokens());
}
