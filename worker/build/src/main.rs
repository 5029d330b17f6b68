//! Builds the npm package of the personal node: `cargo run -p hdms-worker-build`.
//!
//! Rust → WebAssembly (`cargo build --profile wasm`) → JavaScript glue (wasm-bindgen) → a smaller
//! module (wasm-opt), with the service worker's shim and the client for pages (tsc) beside it →
//! `worker/pkg/`. Does nothing when the module that cargo made, and what turns it into the package,
//! are those of last time. Then it prints the size of every file that a browser loads for the
//! worker and fails when they grow above the budget.
//!
//! With `--test-hooks` the package goes to `worker/pkg-test-hooks/`, and its worker traps or fails
//! to commit when a test asks it to.

mod package;
mod size;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let hooks = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--test-hooks") => true,
        Some(other) => bail!("{other} is no option; there is only --test-hooks"),
    };
    let worker = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package lies in the folder of the worker")?;
    let module = compile(worker, hooks)?;
    let package = worker.join(if hooks { "pkg-test-hooks" } else { "pkg" });
    package::make(worker, &module, &package)?;
    // What is only there for tests is no part of what people download.
    if hooks { Ok(()) } else { size::check(&package) }
}

/// SHA-256 in a loop rather than written out: 1 KB less, and it is not what takes time here.
const SHA256: &str = "--cfg sha2_backend_soft=\"compact\"";

/// Flags that keep the paths of this machine out of the module: it is the same wherever it is built.
fn without_paths() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let registries = home.join("registry/src");
    let mut flags = format!("{SHA256} --remap-path-prefix={}=", registries.display());
    for registry in std::fs::read_dir(home.join("registry/src")).into_iter().flatten() {
        flags += &format!(" --remap-path-prefix={}=", registry?.path().display());
    }
    Ok(flags)
}

/// Compiles the worker crate and answers the path of its module.
fn compile(worker: &Path, hooks: bool) -> Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(worker)
        .args(["build", "--package", "hdms-worker", "--lib"])
        .args(["--target", "wasm32-unknown-unknown", "--profile", "wasm"])
        .args(hooks.then_some("--features=test-hooks"))
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", without_paths()?)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!("the worker does not compile, see above");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "hdms_worker")
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .find(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .context("cargo made no .wasm file: is `cdylib` among the crate types of hdms-worker?")
}
