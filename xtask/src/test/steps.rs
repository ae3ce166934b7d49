//! The steps of `cargo xtask test`, in their order: quick failures come first.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use super::{Context, Needs, TestStep, demo_server::DemoServer, features, program};
use crate::{
    api_docs, build_client,
    console::{Log, Step},
    fingerprint::Fingerprint,
    fuzz, page, process, size, tidy, yew,
};

/// Every step.
pub(super) const STEPS: &[TestStep] = &[
    TestStep {
        step: Step { name: "fmt", what: "is every file formatted?", slow: None },
        needs: Needs::Toolchain,
        has_tests: false,
        run: |context, log| silent(log.run(cargo(context).args(["fmt", "--all", "--check"]))),
    },
    TestStep {
        step: Step {
            name: "clippy",
            what: "lints, on every target",
            slow: Some("2 to 4 min the first time"),
        },
        needs: Needs::Toolchain,
        has_tests: false,
        run: |context, log| {
            let mut clippy = cargo(context);
            clippy.args(["clippy", "--workspace", "--all-targets", "--all-features"]);
            silent(log.run(clippy.args(["--", "-D", "warnings"])))
        },
    },
    TestStep {
        step: Step {
            name: "features",
            what: "lints, with each feature alone",
            slow: Some("4 to 6 min the first time"),
        },
        needs: Needs::Toolchain,
        has_tests: false,
        run: |context, log| {
            for build in features::builds(&tidy::packages_of(context.project)?) {
                let mut clippy = cargo(context);
                log.run(clippy.arg("clippy").args(build).args(["--", "-D", "warnings"]))?;
            }
            Ok(String::new())
        },
    },
    TestStep { step: tidy::STEP, needs: Needs::Builds, has_tests: false, run: tidy_step },
    TestStep {
        step: Step { name: "doc", what: "documentation builds without warnings", slow: Some("about 1 min") },
        needs: Needs::Toolchain,
        has_tests: false,
        run: |context, log| {
            let mut doc = cargo(context);
            doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
            silent(log.run(&mut doc))
        },
    },
    TestStep {
        step: Step { name: "crates", what: "can every published crate be packed?", slow: None },
        needs: Needs::Toolchain,
        has_tests: false,
        run: pack_crates,
    },
    // The page is built before `unit`, whose program has it: built later, that would be compiled twice.
    TestStep {
        step: build_client::STEP,
        needs: Needs::Builds,
        has_tests: false,
        run: |context, log| silent(build_client::ensure_built(context.project, context.tools()?, log)),
    },
    TestStep {
        step: Step { name: "npm", what: "the npm package's own tests", slow: None },
        needs: Needs::Builds,
        has_tests: true,
        run: |context, log| {
            build_client::ensure_built(context.project, context.tools()?, log)?;
            silent(log.run(context.tools()?.npm(&context.project.path(build_client::PACKAGE)).arg("test")))
        },
    },
    TestStep {
        step: api_docs::STEP,
        needs: Needs::Builds,
        has_tests: false,
        run: |context, log| silent(api_docs::build(context.project, context.tools()?, log)),
    },
    TestStep {
        step: page::STEP,
        needs: Needs::Builds,
        has_tests: false,
        run: |context, log| silent(page::ensure_built(context.project, context.tools()?, log)),
    },
    TestStep {
        step: Step {
            name: "unit",
            what: "tests of every crate, on this machine",
            slow: Some("10 to 15 min"),
        },
        // Those of the engine in Redis.
        needs: Needs::Redis,
        has_tests: true,
        run: |context, log| {
            let mut test = cargo(context);
            test.arg("test").args(OF_UNIT).arg("--no-fail-fast");
            silent(log.run(&mut test))
        },
    },
    TestStep {
        step: Step {
            name: "proxies",
            what: "a server, and three with one Redis, behind nginx and HAProxy",
            slow: None,
        },
        needs: Needs::Proxies,
        has_tests: true,
        run: |context, log| {
            let mut test = cargo(context);
            // They are skipped unless setup has found the proxies.
            test.arg("test").args(OF_UNIT).args(["--test", "proxies", "--", "--ignored"]);
            silent(log.run(&mut test))
        },
    },
    TestStep {
        step: Step { name: "redis", what: "tests with servers of Redis", slow: Some("about 1 min") },
        needs: Needs::Redis,
        has_tests: true,
        run: |context, log| {
            let mut test = cargo(context);
            // They are skipped unless setup has found Redis.
            test.arg("test").args(OF_UNIT).args(["--test", "servers", "--", "--ignored"]);
            silent(log.run(&mut test))
        },
    },
    TestStep {
        step: fuzz::STEP,
        needs: Needs::CppCompiler,
        has_tests: true,
        run: |context, log| fuzz::run(context.project, log),
    },
    TestStep {
        step: Step {
            name: "chaos",
            what: "nodes, Redis and lines that die, with clients who count",
            slow: Some("4 to 5 min"),
        },
        needs: Needs::Fleet,
        has_tests: true,
        run: chaos_test,
    },
    TestStep {
        step: Step {
            name: "soak",
            what: "fifty people in one room, over lines that break, with a server that restarts",
            slow: Some("about 80 s"),
        },
        needs: Needs::Toolchain,
        has_tests: true,
        run: |context, log| {
            let mut test = cargo(context);
            test.arg("test").args(OF_UNIT).args(["--test", "program"]);
            silent(log.run(test.args(["--", "--ignored", "--nocapture", "fifty_people"])))
        },
    },
    TestStep { step: size::STEP, needs: Needs::Builds, has_tests: false, run: size_step },
    TestStep {
        step: Step { name: "server", what: "building the server for the following steps", slow: None },
        needs: Needs::Toolchain,
        has_tests: false,
        run: |context, log| silent(program::build(context, log)),
    },
    TestStep {
        step: Step { name: "chromium", what: "the client's tests in Chromium", slow: Some("about 1 min") },
        needs: Needs::Browsers,
        has_tests: true,
        run: |context, log| {
            let driver = context.browsers()?.chromedriver.clone();
            client_in_browser(context, log, |test| test.arg("--chrome").arg("--chromedriver").arg(driver))
        },
    },
    TestStep {
        step: Step { name: "firefox", what: "the client's tests in Firefox", slow: Some("about 1 min") },
        needs: Needs::Browsers,
        has_tests: true,
        run: |context, log| {
            let driver = context.browsers()?.geckodriver.clone();
            client_in_browser(context, log, |test| test.arg("--firefox").arg("--geckodriver").arg(driver))
        },
    },
    TestStep {
        step: Step {
            name: "npm-chromium",
            what: "the npm package in Chromium: life of pages and workers, leaks",
            slow: Some("about 20 s"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: |context, log| {
            build_client::ensure_built(context.project, context.tools()?, log)?;
            let mut test = context.tools()?.npm(&context.project.path(build_client::PACKAGE));
            silent(log.run(context.browsers()?.name_to(test.args(["run", "test:browser"]))))
        },
    },
    TestStep {
        step: Step {
            name: "npm-server",
            what: "the npm package against the server, for a day, in Chromium, Firefox and WebKit",
            slow: Some("1 to 2 min"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: npm_server_test,
    },
    TestStep {
        step: Step {
            name: "scenarios",
            what: "the table of scenarios with the npm package, in Node.js, Chromium, Firefox and WebKit",
            slow: Some("about 30 s"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: scenarios_test,
    },
    TestStep {
        step: Step {
            name: "packaging",
            what: "the packed package in projects of every kind",
            slow: Some("1 to 2 min"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: packaging_test,
    },
    TestStep {
        step: Step {
            name: "frameworks",
            what: "the packed package in frameworks, test runners and other environments",
            slow: Some("2 to 4 min the first time"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: frameworks_test,
    },
    TestStep {
        step: Step {
            name: "yew",
            what: "the example in Yew: lints, and two people who use it",
            slow: Some("1 to 2 min the first time"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: yew_test,
    },
    TestStep {
        step: Step { name: "page-test", what: "the demo page, used like a person", slow: Some("3 to 4 min") },
        needs: Needs::Browsers,
        has_tests: true,
        run: page_test,
    },
    TestStep {
        step: Step {
            name: "operators",
            what: "the page for operators in Chromium, and the HTTP API against its description",
            slow: Some("about 1 min"),
        },
        needs: Needs::Browsers,
        has_tests: true,
        run: operators_test,
    },
    TestStep {
        step: Step { name: "unchanged", what: "did the steps leave committed files alone?", slow: None },
        needs: Needs::Toolchain,
        has_tests: false,
        run: leaves_no_trace,
    },
];

/// The packages and features of the step `unit`. Every step whose programs are compiled by that one selects the same ones: with
/// others cargo compiles thirteen crates and more once again. With every feature, because otherwise cargo silently omits the
/// tests that need a disabled one.
pub(super) const OF_UNIT: &[&str] = &["--workspace", "--all-features"];

/// The time limit for one module of tests in a browser, in seconds.
const BROWSER_TEST_SECONDS: &str = "180";

fn tidy_step(context: &Context<'_>, log: &mut Log) -> Result<String> {
    tidy::run(context.project, context.tools()?.wasm(), log)
}

/// Packs every published crate as `cargo publish` would, each against the packed others. The clippy step has compiled
/// them.
fn pack_crates(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let packages = tidy::packages_of(context.project)?.into_iter();
    let names: Vec<String> = packages.filter(|it| it.is_published).map(|it| it.name).collect();
    let mut pack = cargo(context);
    pack.args(["package", "--no-verify", "--allow-dirty", "--quiet"]);
    pack.args(names.iter().flat_map(|name| ["--package", name]));
    log.run(&mut pack)?;
    Ok(names.join(", "))
}

fn size_step(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let weight = size::weigh(context.project, context.tools()?, log)?;
    log.line(&weight.table())?;
    weight.check()?;
    let page = size::weigh_page(context.project, context.tools()?, log)?;
    page.check()?;
    Ok(format!("{weight}; {page}"))
}

/// Runs the tests of `client-wasm` in a browser, against a demo server.
fn client_in_browser(
    context: &Context<'_>,
    log: &mut Log,
    browser: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<String> {
    program::build(context, log)?;
    let mut server = program::demo_in_memory(context);
    // The tests' page comes from a server of the test runner, on a port of its own.
    let server = DemoServer::start(server.args(["--allow-origin", "http://127.0.0.1:*"]), log)?;
    let stage = stage(context, log)?;

    let mut test = context.tools()?.wasm_command("wasm-pack");
    test.current_dir(context.project.root()).args(["test", "--headless", "--mode", "no-install"]);
    browser(&mut test);
    test.args(["client-wasm", "--all-features"]);
    test.env("WIREHUB_TEST_SERVER", server.address().to_string());
    test.env("WIREHUB_SCENARIOS", stage.address().to_string());
    test.env("WASM_BINDGEN_TEST_TIMEOUT", BROWSER_TEST_SECONDS);
    log.run(&mut test)?;
    stage.stop()?;
    silent(server.stop())
}

/// The stage of the scenarios, which the tests of the browsers and of the npm package play.
fn stage(context: &Context<'_>, log: &mut Log) -> Result<DemoServer> {
    let mut build = cargo(context);
    // The step `unit` has compiled it, as a part of this test.
    build.arg("test").args(OF_UNIT).args(["--test", "clients", "--no-run"]);
    log.run(&mut build)?;
    let mut stage = process::command(context.project.binary("debug", "wirehub-scenarios"));
    DemoServer::start_stage(&mut stage, log)
}

/// The tests of the chaos test for the present engines.
const CHAOS_TESTS: &[&str] = &[
    "on_disk_nothing_is_lost",
    "in_memory_losses_are_reported",
    "redis_alone",
    "redis_with_sentinels",
    "redis_as_a_cluster",
    "every_kind_of_redis_survives_every_fault",
];

fn chaos_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let tarball = build_client::ensure_built(context.project, context.tools()?, log)?;
    let mut test = cargo(context);
    // One after the other: each is a load for the whole machine.
    test.arg("test").args(OF_UNIT);
    test.args(["--test", "chaos", "--", "--ignored", "--nocapture", "--test-threads=1"]);
    test.args(CHAOS_TESTS).env("WIREHUB_TARBALL", tarball);
    silent(log.run(&mut test))
}

fn npm_server_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let (tools, browsers) = (context.tools()?, context.browsers()?);
    build_client::ensure_built(context.project, tools, log)?;
    let mut test = tools.npm(&context.project.path(build_client::PACKAGE));
    test.args(["run", "test:server"]).env("WIREHUB", program::build(context, log)?);
    silent(log.run(browsers.name_to(&mut test)))
}

fn scenarios_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let (tools, browsers) = (context.tools()?, context.browsers()?);
    build_client::ensure_built(context.project, tools, log)?;
    let stage = stage(context, log)?;
    let mut test = tools.npm(&context.project.path(build_client::PACKAGE));
    test.args(["run", "test:scenarios"]).env("WIREHUB_SCENARIOS", stage.address().to_string());
    log.run(browsers.name_to(&mut test))?;
    silent(stage.stop())
}

fn page_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let (tools, browsers) = (context.tools()?, context.browsers()?);
    page::ensure_built(context.project, tools, log)?;
    // Each file of tests starts a server of its own. The page in the program is the one that was built.
    let mut test = tools.npm(&context.project.path("www"));
    test.arg("test").env("WIREHUB", program::build(context, log)?).env("WIREHUB_PAGE_INSIDE", "1");
    log.run(browsers.name_to(&mut test))?;
    Ok("pictures: target/artefacts".to_owned())
}

fn operators_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let (tools, browsers) = (context.tools()?, context.browsers()?);
    let folder = node_tools(context, "operators", log)?;
    let mut test = tools.npm(&folder);
    test.arg("test").env("WIREHUB", program::build(context, log)?);
    log.run(browsers.name_to(&mut test))?;
    Ok("pictures: target/artefacts".to_owned())
}

fn packaging_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let folder = node_tools(context, "packaging", log)?;
    test_packed(context, &folder, log)
}

fn frameworks_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    // The modules that both share are in the first.
    node_tools(context, "packaging", log)?;
    node_tools(context, "packaging/node-versions", log)?;
    let folder = node_tools(context, "packaging/frameworks", log)?;
    test_packed(context, &folder, log)
}

/// Runs a folder's tests of the packed package.
fn test_packed(context: &Context<'_>, folder: &Path, log: &mut Log) -> Result<String> {
    let tools = context.tools()?;
    let tarball = build_client::ensure_built(context.project, tools, log)?;
    program::build(context, log)?;

    let mut server = program::demo_in_memory(context);
    // Each project is served from a port of its own.
    let origins = ["--allow-origin", "http://127.0.0.1:*", "--allow-origin", "http://localhost:*"];
    let server = DemoServer::start(server.args(origins), log)?;
    let mut test = tools.npm(folder);
    test.arg("test")
        .env("WIREHUB_TEST_SERVER", format!("ws://{}/ws", server.address()))
        .env("WIREHUB_TARBALL", tarball)
        .env("WIREHUB", program::build(context, log)?);
    log.run(context.browsers()?.name_to(&mut test))?;
    silent(server.stop())
}

fn yew_test(context: &Context<'_>, log: &mut Log) -> Result<String> {
    let tools = context.tools()?;
    yew::lint(context.project, log)?;
    yew::build(context.project, tools, log)?;
    program::build(context, log)?;

    let folder = node_tools(context, "packaging", log)?;
    let mut server = program::demo_in_memory(context);
    let server = DemoServer::start(server.arg("--static").arg(context.project.path(yew::FOLDER)), log)?;
    let mut test = tools.npm(&folder);
    test.args(["run", "test:yew"]).env("WIREHUB_TEST_PAGE", format!("http://{}/", server.address()));
    log.run(context.browsers()?.name_to(&mut test))?;
    silent(server.stop())
}

/// The folder of the tests with third-party tools, in which these tools are installed.
fn node_tools(context: &Context<'_>, name: &str, log: &mut Log) -> Result<PathBuf> {
    let path = format!("tests/{name}");
    let folder = context.project.path(&path);
    let lock = Fingerprint::default().sources(context.project, &format!("{path}/package-lock.json"))?;
    let stamp = lock.finish(context.project, &name.replace('/', "-"));
    if !stamp.is_current(&[folder.join("node_modules")]) {
        stamp.invalidate()?;
        log.run(context.tools()?.npm(&folder).arg("ci"))?;
        stamp.record()?;
    }
    Ok(folder)
}

/// In a clean checkout, a file that differs afterwards was committed out of date; usually a lock file.
fn leaves_no_trace(context: &Context<'_>, log: &mut Log) -> Result<String> {
    if env::var_os("CI").is_none() {
        return Ok("only in continuous integration, whose checkout is clean".to_owned());
    }
    let mut status = process::command("git");
    status.current_dir(context.project.root()).args(["status", "--porcelain"]);
    let changed = log.output(&mut status)?;
    ensure!(
        changed.is_empty(),
        "commit these with the related change, or ignore generated files:\n{changed}"
    );
    Ok(String::new())
}

/// The program has the page in it once that is built. Every step says so, because a step that says otherwise compiles it again.
pub(super) fn cargo(context: &Context<'_>) -> Command {
    let mut cargo = process::command("cargo");
    cargo.current_dir(context.project.root());
    let page = context.project.path(page::BUILT);
    if page.is_dir() {
        cargo.env("WIREHUB_DEMO_PAGE", page);
    }
    cargo
}

/// A step without a remark for the summary.
fn silent<T>(result: Result<T>) -> Result<String> {
    result.map(|_| String::new())
}
