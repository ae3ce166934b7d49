//! The files in `server/deploy/` work: their commands are run.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Running, wirehub};

const INSTALLED: &str = "/usr/local/bin/wirehub";
const CONFIG: &str = "/etc/wirehub/wirehub.toml";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// A valid configuration, in a folder of its own.
fn configuration() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wirehub.toml");
    std::fs::write(&path, "[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// The values of a key of the unit, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn the_unit_starts_reloads_and_stops_a_server() {
    let (folder, config) = configuration();
    let unit = std::fs::read_to_string(file("wirehub.service")).unwrap();
    let unit = unit.replace(INSTALLED, env!("CARGO_BIN_EXE_wirehub")).replace(CONFIG, &config);
    let command = |line: &str| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        command
    };
    let [check] = values(&unit, "ExecStartPre")[..] else { panic!("one check") };
    assert!(command(check).status().unwrap().success(), "{check}");
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one server") };
    let mut server = Running::spawn(command(start));
    assert!(server.address().starts_with("http://127.0.0.1:"));
    let process = server.child.id().to_string();
    for reload in values(&unit, "ExecReload") {
        assert!(command(&reload.replace("$MAINPID", &process)).status().unwrap().success(), "{reload}");
    }
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("the configuration was reloaded")), "{start}");
    let [signal] = values(&unit, "KillSignal")[..] else { panic!("one signal") };
    server.signal(signal.strip_prefix("SIG").unwrap());
    assert!(server.child.wait().unwrap().success());

    // The rest is verified by systemd itself, if installed.
    let copy = folder.path().join("wirehub.service");
    std::fs::write(&copy, unit).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        Ok(verified) => {
            let words = String::from_utf8_lossy(&verified.stderr).into_owned();
            let about_this = words.lines().filter(|line| line.contains("wirehub"));
            assert_eq!(about_this.collect::<Vec<_>>(), [""; 0]);
        }
        Err(error) => eprintln!("the unit is not verified, for systemd-analyze is not there: {error}"),
    }
}

/// The instructions of a Dockerfile with their arguments; continued lines are joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let whole = lines.join("\n").replace("\\\n", " ");
    let pairs = whole.lines().filter_map(|line| line.trim().split_once(' '));
    pairs.map(|(name, arguments)| (name.to_ascii_uppercase(), arguments.trim().to_owned())).collect()
}

/// The words of an instruction in exec form: a shell would not forward signals.
fn exec(arguments: &str) -> Vec<String> {
    serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{arguments}: {error}"))
}

#[test]
fn the_container_runs_without_root_and_has_a_health_check() {
    let all = instructions(&std::fs::read_to_string(file("Dockerfile")).unwrap());
    let known = [
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "ENV",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    ];
    assert!(all.iter().all(|(name, _)| known.contains(&&**name)), "{all:?}");
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    assert!(last > 0, "what builds is not what runs");
    let (build, run) = all.split_at(last);
    let of = |name: &str| -> &str {
        let [arguments] =
            run.iter().filter(|(it, _)| it == name).map(|(_, it)| &**it).collect::<Vec<_>>()[..]
        else {
            panic!("{name} must be there once")
        };
        arguments
    };
    assert!(build.iter().any(|(name, arguments)| name == "RUN"
        && arguments.contains("--locked")
        && arguments.contains("--package wirehub-cli --bin wirehub")));
    let [from, source, target] = of("COPY").split(' ').collect::<Vec<_>>()[..] else { panic!("a copy") };
    assert_eq!((from, target), ("--from=build", INSTALLED));
    assert!(source.ends_with("/target/release/wirehub"));
    let user = of("USER").split(':').next().unwrap();
    assert_ne!(user.parse::<u32>().unwrap(), 0);
    assert_eq!(of("STOPSIGNAL"), "SIGTERM");

    let certificates =
        |(name, arguments): &(String, String)| name == "RUN" && arguments.contains("ca-certificates");
    assert!(run.iter().any(certificates), "webhooks and key sets at https:// addresses are believed by them");

    let (folder, config) = configuration();
    let entry = exec(of("ENTRYPOINT"));
    assert_eq!(entry, ["wirehub"]);
    let arguments: Vec<String> = exec(of("CMD")).iter().map(|word| word.replace(CONFIG, &config)).collect();
    let mut command = wirehub(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let port = of("EXPOSE");
    for variable in of("ENV").split(' ') {
        let (name, value) = variable.split_once('=').unwrap();
        let anywhere = format!("0.0.0.0:{port}");
        // A container may listen on every address; a test may not.
        command.env(name, if value == anywhere { "127.0.0.1:0" } else { value });
    }
    let mut server = Running::spawn(command);
    let address = server.address();
    let host = address.strip_prefix("http://").unwrap();
    let (_, check) = of("HEALTHCHECK").split_once("CMD ").unwrap();
    let check = exec(check);
    assert_eq!(check[..2], ["wirehub", "health"]);
    assert_eq!(check[2], format!("127.0.0.1:{port}"));
    let health = || wirehub(&["health", host]).output().unwrap();
    assert!(health().status.success());
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    let gone = health();
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no answer from"), "{gone:?}");

    // The same with TLS, and a certificate for another name than the check uses.
    let made = rcgen::generate_simple_self_signed(vec!["wirehub.example".into()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    std::fs::write(&config, text).unwrap();
    let mut server = Running::start(&["serve", "--config", &config]);
    let address = server.address();
    let checked = wirehub(&["health", address.strip_prefix("https://").unwrap()]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
