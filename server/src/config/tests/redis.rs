//! `[redis]`.

use super::*;

/// The mistakes in a configuration whose files are in a folder.
fn check(folder: &Path, text: &str) -> String {
    let file = folder.join("wirehub.toml");
    fs::write(&file, text).unwrap();
    Config::check(&file).map_err(|error| error.to_string()).err().unwrap_or_default()
}

fn with_files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("redis.key"), "swordfish\n").unwrap();
    fs::write(folder.path().join("empty.key"), "\n").unwrap();
    folder
}

#[test]
fn each_way_to_name_the_servers_is_accepted_without_a_connection() {
    let folder = with_files();
    for text in [
        "url = \"redis://127.0.0.1:1\"",
        "url = \"unix:///run/redis.sock\"\npassword = { file = \"redis.key\" }",
        "url = \"rediss://ann:swordfish@127.0.0.1:1/3\"\nauthorities = \"ca.pem\"",
        "sentinels = [\"redis://a\", \"redis://b\"]\nmaster = \"main\"\nsentinel_user = \"ann\"\nsentinel_password = { file = \"redis.key\" }",
        "cluster = [\"rediss://a\"]\nuser = \"ann\"\nprefix = \"chat\"\nacknowledge = \"replicas:2\"\n\
         connect_timeout = \"500ms\"\nanswer_timeout = \"5s\"",
        "url = \"redis://a\"\nacknowledge = \"disks:0\"",
    ] {
        let told = check(folder.path(), &format!("engine = \"redis\"\n[redis]\n{text}\n"));
        assert_eq!(told, "", "{text}");
    }
}

#[test]
fn a_mistake_is_reported_with_its_key_and_without_a_password() {
    let folder = with_files();
    for (text, words) in [
        ("", &["`redis.url`", "no server is named"][..]),
        ("url = \"http://:swordfish@a\"", &["line 3", "`redis.url`", "redis://host:port"]),
        ("url = \"redis://a\"\ncluster = [\"redis://a\"]", &["line 2", "`redis`", "more than one"]),
        ("sentinels = [\"redis://a\", \"b:swordfish\"]\nmaster = \"m\"", &["line 3", "`redis.sentinels[1]`"]),
        ("sentinels = [\"redis://a\"]", &["`redis.master`", "mymaster"]),
        ("sentinels = []\nmaster = \"m\"", &["`redis.sentinels`", "no server is named"]),
        ("url = \"redis://a\"\nmaster = \"m\"", &["line 4", "`redis.master`", "for Sentinels"]),
        ("cluster = [\"redis://:swordfish@a/1\"]", &["`redis.cluster`", "database 0"]),
        ("url = \"redis://a\"\npassword = \"swordfish\"", &["line 4", "`redis.password`", "{ file ="]),
        ("url = \"redis://a\"\npassword = {}", &["line 4", "`redis.password`", "{ env ="]),
        ("url = \"redis://a\"\npassword = { file = \"none.key\" }", &["`redis.password`", "none.key"]),
        ("url = \"redis://a\"\npassword = { file = \"empty.key\" }", &["`redis.password`", "empty"]),
        ("url = \"rediss://a\"\nauthorities = \"redis.key\"", &["`redis.authorities`", "CERTIFICATE"]),
        ("url = \"redis://a\"\nauthorities = \"ca.pem\"", &["`redis.authorities`", "rediss://"]),
        ("url = \"redis://a\"\nprefix = \"a{b\"", &["line 4", "`redis.prefix`", "braces"]),
        (
            "url = \"redis://a\"\nacknowledge = \"replicas:0\"",
            &["line 4", "`redis.acknowledge`", "\"disks:1\""],
        ),
        ("url = \"redis://a\"\nanswer_timeout = \"0s\"", &["line 4", "`redis.answer_timeout`", "positive"]),
        ("ulr = \"redis://:swordfish@a\"", &["line 3", "did you mean `url`?"]),
    ] {
        let told = check(folder.path(), &format!("engine = \"redis\"\n[redis]\n{text}\n"));
        for word in words {
            assert!(told.contains(word) && !told.contains("swordfish"), "{word} in: {told}");
        }
    }
    let told = check(
        folder.path(),
        "engine = \"redis\"\n[limits]\nkept_bytes = \"1MiB\"\n[redis]\nurl = \"a\"\nprefix = \"\"\npassword = {}\nconnect_timeout = \"0s\"\n",
    );
    assert!(told.contains("5 mistakes"), "all at once: {told}");
}

#[test]
fn variables_override_the_section_and_no_text_for_debugging_has_a_password() {
    let variables = [("WIREHUB_ENGINE", "redis"), ("WIREHUB_REDIS__URL", "redis://ann:swordfish@a:7000")];
    let config = parse_with("[redis]\nprefix = \"chat\"", &variables).unwrap();
    assert_eq!(config.engine(), EngineKind::Redis);
    let summary = config.engine_summary("RedisEngine");
    assert_eq!(summary, "redis, at a:7000, with the prefix chat");
    assert!(!format!("{config:?}").contains("swordfish"));
    let list = [("WIREHUB_REDIS__CLUSTER", "[\"redis://a\", \"redis://b\"]")];
    let config = parse_with("engine = \"redis\"", &list).unwrap();
    assert_eq!(config.engine_summary(""), "redis, the cluster of a:6379, b:6379, with the prefix wirehub");
}

#[test]
fn a_section_without_its_engine_is_idle_and_its_change_needs_a_restart() {
    let idle = |text: &str| parse(text).unwrap().idle_engine_sections().collect::<Vec<_>>();
    assert_eq!(idle("[redis]\nurl = \"redis://a\""), [EngineKind::Redis]);
    assert_eq!(
        idle("engine = \"redis\"\n[redis]\nurl = \"redis://a\"\n[disk]\ncache_bytes = 1"),
        [EngineKind::Disk]
    );
    assert_eq!(idle("[redis]"), []);
    for setting in ["master = \"a\"", "acknowledge = \"master\"", "answer_timeout = \"1s\"", "password = {}"]
    {
        assert_eq!(idle(&format!("[redis]\n{setting}")), [EngineKind::Redis], "{setting}");
    }
    let old = parse("engine = \"redis\"\n[redis]\nurl = \"redis://a\"").unwrap();
    let new = parse("[redis]\nurl = \"redis://b\"").unwrap();
    assert_eq!(old.changes_needing_restart(&new), ["engine", "redis.url"]);
}

#[test]
fn an_engine_of_the_program_is_never_replaced() {
    let config = parse("engine = \"redis\"\n[redis]\nurl = \"redis://127.0.0.1:1\"").unwrap();
    let own = Hub::builder().engine(crate::engine::MemoryEngine::new());
    let error = apply(&config, own).unwrap_err().to_string();
    assert!(error.contains("`engine`") && error.contains("an engine of its own"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_of_the_engine() {
    // The port is free again as soon as it is known.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config =
        parse(&format!("engine = \"redis\"\n[redis]\nurl = \"redis://:swordfish@{address}\"")).unwrap();
    let error = config.apply(Hub::builder()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine);
    let words = error.to_string();
    assert!(words.contains(&address.to_string()) && words.contains("check that it runs"), "{words}");
    assert!(!words.contains("swordfish"), "{words}");
}
