//! From cargo's module to the files of `worker/pkg/`.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;
use std::{env, fs};
use wasm_bindgen_cli_support::Bindgen;

/// What rustc uses on wasm32 by default and every supported browser has. Named one by one:
/// `--all-features` would let wasm-opt write instructions that no browser knows.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Only npm's: Debian's wasm-opt (binaryen 108) breaks modules of today's rustc without a word.
const BINARYEN: &str = "node_modules/binaryen";

/// Writes `pkg/` below `worker` from the compiled `module`, unless it was made from the same.
pub fn make(worker: &Path, module: &Path) -> Result<()> {
    let root = worker.parent().context("the worker is in the repository")?;
    let package = worker.join("pkg");
    let stamp = package.join(".made-from");
    let made_from = fingerprint(root, module)?;
    if fs::read_to_string(&stamp).is_ok_and(|found| found == made_from) {
        return Ok(());
    }
    if package.exists() {
        fs::remove_dir_all(&package).context("the old worker/pkg can't be removed")?;
    }
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(true)
        // With it the worker starts afresh from storage after a trap.
        .reset_state_function(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&package)
        .context("wasm-bindgen could not make the glue")?;
    optimise(root, &package.join("hdms_worker_bg.wasm"))?;
    fs::write(stamp, made_from).context("worker/pkg can't be written")
}

/// A digest of all that decides what `pkg/` holds: the module, wasm-opt's version, this program.
fn fingerprint(root: &Path, module: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let binaryen = root.join(BINARYEN).join("package.json");
    for path in [module, &binaryen, &env::current_exe()?] {
        let bytes = fs::read(path).with_context(|| format!("{} is missing", path.display()))?;
        digest.update(Sha256::digest(bytes));
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn optimise(root: &Path, module: &Path) -> Result<()> {
    let status = Command::new("node")
        .arg(root.join(BINARYEN).join("bin/wasm-opt"))
        .args(["-Os", "--strip-debug"])
        .args(FEATURES)
        .arg(module)
        .arg("--output")
        .arg(module)
        .status()
        .context("node could not be started")?;
    if !status.success() {
        bail!("wasm-opt failed, see above");
    }
    Ok(())
}
