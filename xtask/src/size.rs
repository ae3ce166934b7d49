//! `cargo xtask size`: the download size of the client, and of other clients.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use crate::{
    build_client,
    console::{Console, Log, Step},
    process::output_of,
    project::{Project, remove_folder},
    setup::{self, Tools},
};

pub(crate) const STEP: Step<'static> = Step {
    name: "size",
    what: "the size of the npm package, and of a page in Rust",
    slow: Some("1 to 2 min the first time"),
};

/// The largest size of the client, in bytes: module and JavaScript, minified, `gzip -9`. It is a budget, not a race:
/// readable code is more important than a few bytes. The aim is 30,000, which is out of reach with the Rust driver, lists of
/// members, histories in subscriptions, draining, keys and attachments: docs/size.md has the log and the parts.
const BUDGET: u64 = 44_000;

/// The largest size of a page in Rust that has the client, in bytes: the example of `client-wasm/README.md`, with the
/// page's JSON and its allocator, built as an application builds it.
const PAGE_BUDGET: u64 = 77_000;

/// The page, which has a `Socket` alone with the feature of that name.
const PAGE: &str = "client-wasm/examples/page";

/// Other clients, minified, `gzip -9`, everything they export, in bytes.
const RIVALS: &[(&str, u64)] = &[
    ("partysocket", 2_700),
    ("phoenix", 7_600),
    ("socket.io-client", 13_000),
    ("supabase-realtime", 16_800),
    ("pusher-js", 19_100),
    ("centrifuge-js", 23_500),
    ("nats-core", 42_100),
    ("centrifuge-js, binary", 43_600),
    ("nats.ws", 55_500),
    ("ably", 57_900),
];

pub(crate) fn verb(project: &Project, console: &Console) -> Result<()> {
    let tools = setup::for_demo(project, console)?;
    console.step(build_client::STEP, |log| build_client::ensure_built(project, &tools, log))?;
    let (weight, page) =
        console.step(STEP, |log| Ok((weigh(project, &tools, log)?, weigh_page(project, &tools, log)?)))?;
    println!("\n{}\n\n{page}", weight.table());
    weight.check()?;
    page.check()
}

/// The size of a page in Rust, in bytes, compressed: module and JavaScript.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageWeight {
    client: u64,
    socket: u64,
}

impl PageWeight {
    /// Compares the size with the budget.
    pub(crate) fn check(self) -> Result<()> {
        ensure!(
            self.client <= PAGE_BUDGET,
            "a page in Rust weighs {} and the budget is {}: `git log -- client-wasm client-core common` lists the changes, \
             twiggy the large parts",
            kilobytes(self.client),
            kilobytes(PAGE_BUDGET)
        );
        Ok(())
    }
}

impl fmt::Display for PageWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a page in Rust: {}; with a Socket alone: {}",
            kilobytes(self.client),
            kilobytes(self.socket)
        )
    }
}

/// Builds the page like an application, and measures it.
pub(crate) fn weigh_page(project: &Project, tools: &Tools, log: &mut Log) -> Result<PageWeight> {
    let mut weigh = |name: &str, features: &[&str]| {
        let folder = project.scratch_dir().join(name);
        let mut build = tools.wasm_command("wasm-pack");
        build.current_dir(project.root()).args(["build", PAGE, "--target", "web", "--profile", "wasm"]);
        // Setup has installed the tools; wasm-pack must not download anything itself.
        build.args([
            "--mode",
            "no-install",
            "--no-pack",
            "--no-typescript",
            "--out-name",
            "page",
            "--out-dir",
        ]);
        log.run(build.arg(&folder).args(features))?;
        let mut minify = tools.command("esbuild");
        minify.current_dir(&folder).args(["page.js", "--minify", "--format=esm", "--outfile=minified.js"]);
        log.run(&mut minify)?;
        let (module, script) = (folder.join("page_bg.wasm"), folder.join("minified.js"));
        Ok::<_, anyhow::Error>(compressed(tools, &module)?.saturating_add(compressed(tools, &script)?))
    };
    Ok(PageWeight {
        client: weigh("page-with-client", &[])?,
        socket: weigh("page-with-socket", &["--features", "socket"])?,
    })
}

/// The size of the client, in bytes, compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    wasm: u64,
    javascript: u64,
}

impl Weight {
    fn total(self) -> u64 {
        self.wasm.saturating_add(self.javascript)
    }

    fn parts(self) -> String {
        format!("wasm {}, JavaScript {}", kilobytes(self.wasm), kilobytes(self.javascript))
    }

    /// This client among the others, smallest first.
    pub(crate) fn table(self) -> String {
        let ours = format!("@wirehub/client: {}", self.parts());
        let mut rows: Vec<(&str, u64)> = RIVALS.to_vec();
        rows.push((&ours, self.total()));
        rows.sort_by_key(|(_, size)| *size);
        let rows: Vec<String> =
            rows.into_iter().map(|(name, size)| format!("{:>8}  {name}", kilobytes(size))).collect();
        rows.join("\n")
    }

    /// Compares the size with the budget.
    pub(crate) fn check(self) -> Result<()> {
        ensure!(
            self.total() <= BUDGET,
            "the client weighs {} and the budget is {}: `git log -- client-wasm client-core common` lists \
             the changes, twiggy or `wasm-opt --metrics` the large parts",
            kilobytes(self.total()),
            kilobytes(BUDGET)
        );
        Ok(())
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", kilobytes(self.total()), self.parts())
    }
}

/// Measures the packed package: unpacks it, bundles every export like a page's bundler, compresses.
pub(crate) fn weigh(project: &Project, tools: &Tools, log: &mut Log) -> Result<Weight> {
    let tarball = build_client::ensure_built(project, tools, log)?;
    let folder = project.scratch_dir().join("size");
    let package = folder.join("node_modules/@wirehub/client");
    remove_folder(&folder)?;
    fs::create_dir_all(&package).with_context(|| format!("cannot create {}", package.display()))?;
    let mut unpack = tools.command("tar");
    log.run(unpack.arg("-xzf").arg(&tarball).arg("-C").arg(&package).arg("--strip-components=1"))?;

    let entry = folder.join("entry.js");
    fs::write(&entry, "export * from \"@wirehub/client\";\n")
        .with_context(|| format!("cannot write {}", entry.display()))?;
    let bundle = folder.join("bundle.js");
    let mut bundler = tools.command("esbuild");
    bundler
        .current_dir(&folder)
        .args(["entry.js", "--bundle", "--minify", "--format=esm", "--platform=browser"])
        // The module stays a file of its own, which is measured below.
        .args(["--loader:.wasm=file", "--outfile=bundle.js"]);
    log.run(&mut bundler)?;

    let module = the_module_in(&package)?;
    Ok(Weight { wasm: compressed(tools, &module)?, javascript: compressed(tools, &bundle)? })
}

fn compressed(tools: &Tools, file: &Path) -> Result<u64> {
    let counted = format!("{}.gz", file.display());
    let output = fs::File::create(&counted).with_context(|| format!("cannot create {counted}"))?;
    let mut gzip = tools.command("gzip");
    gzip.args(["-9", "-n", "-c"]).arg(file).stdout(Stdio::from(output));
    output_of(&mut gzip)?;
    Ok(fs::metadata(&counted).with_context(|| format!("cannot read {counted}"))?.len())
}

/// The package's one `.wasm` file.
fn the_module_in(package: &Path) -> Result<PathBuf> {
    let mut modules = Vec::new();
    let mut folders = vec![package.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wasm") {
                modules.push(path);
            }
        }
    }
    ensure!(
        modules.len() == 1,
        "the package must have one .wasm file and has {}: {modules:?}",
        modules.len()
    );
    modules.pop().context("the package has a .wasm file")
}

fn kilobytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50).checked_div(100).unwrap_or_default();
    format!("{}.{} kB", tenths.checked_div(10).unwrap_or_default(), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{BUDGET, PAGE_BUDGET, PageWeight, Weight, kilobytes, the_module_in};
    use crate::scratch::Scratch;

    #[test]
    fn the_budget_is_the_limit() {
        let at_the_limit = Weight { wasm: BUDGET - 1_000, javascript: 1_000 };
        at_the_limit.check().unwrap();
        let above = Weight { javascript: 1_001, ..at_the_limit };
        assert!(above.check().unwrap_err().to_string().contains("budget"));
    }

    #[test]
    fn a_page_has_a_budget_of_its_own() {
        let page = PageWeight { client: PAGE_BUDGET, socket: 1_000 };
        page.check().unwrap();
        let above = PageWeight { client: PAGE_BUDGET + 1, ..page };
        assert!(above.check().unwrap_err().to_string().contains("budget"));
    }

    #[test]
    fn the_table_puts_us_where_we_belong() {
        let table = Weight { wasm: 15_000, javascript: 5_000 }.table();
        let names: Vec<&str> = table.lines().filter_map(|line| line.split("kB").nth(1)).collect();
        let ours = names.iter().position(|name| name.contains("@wirehub/client")).unwrap();
        assert!(names[ours - 1].contains("pusher-js"), "{table}");
        assert!(names[ours + 1].contains("centrifuge-js"), "{table}");
    }

    #[test]
    fn kilobytes_are_rounded_to_a_tenth() {
        assert_eq!(kilobytes(57_949), "57.9 kB");
        assert_eq!(kilobytes(57_950), "58.0 kB");
        assert_eq!(kilobytes(0), "0.0 kB");
    }

    #[test]
    fn a_package_has_exactly_one_module() {
        let scratch = Scratch::new("size-module");
        assert!(the_module_in(scratch.path()).is_err());
        scratch.write("dist/wasm/a.wasm", "");
        assert!(the_module_in(scratch.path()).unwrap().ends_with("dist/wasm/a.wasm"));
        scratch.write("b.wasm", "");
        assert!(the_module_in(scratch.path()).is_err());
    }
}
