//! From cargo's module to the files of the package.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs, mem};
use wasm_bindgen_cli_support::{Bindgen, Output};

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

/// Smallest after brotli, tried one by one. In the first KB of the memory lies nothing but the far
/// end of the stack.
const PASSES: [&str; 13] = [
    "--low-memory-unused",
    "--strip-debug",
    "--generate-global-effects",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--generate-global-effects",
    "--simplify-locals",
    "--coalesce-locals-learning",
    "--reorder-locals",
    "-Oz",
    "--strip-target-features",
];

/// Only npm's: Debian's wasm-opt (binaryen 108) breaks modules of today's rustc without a word.
const BINARYEN: &str = "node_modules/binaryen";

/// The shim, as it is and as the package calls it.
const SHIM: &str = "js/sw.js";

/// Where the minifier comes from, and what calls it.
const MINIFIER: &str = "node_modules/rolldown";
const MINIFY: &str = "build/minify.js";

/// What panics in the crate `core`, by the beginning of its name there.
const PANICS: [&str; 5] = [
    "panicking::",
    "str::slice_error_fail",
    "slice::index::slice_index_fail",
    "result::unwrap_failed",
    "option::expect_failed",
];

/// What the module calls its script.
const SCRIPT: &str = "./hdms_worker_bg.js";

/// How the client is compiled.
const TSCONFIG: &str = "tsconfig.build.json";

/// Writes `package` from the compiled `module` and the sources below `worker`, unless it was made
/// from the same.
pub fn make(worker: &Path, module: &Path, package: &Path) -> Result<()> {
    let root = worker.parent().context("the worker is in the repository")?;
    let stamp = package.join(".made-from");
    let made_from = fingerprint(root, worker, module)?;
    if fs::read_to_string(&stamp).is_ok_and(|found| found == made_from) {
        return Ok(());
    }
    if package.exists() {
        fs::remove_dir_all(package).context("the old package can't be removed")?;
    }
    glue(module, package).context("wasm-bindgen could not make the glue")?;
    optimise(root, &package.join("hdms_worker_bg.wasm"))?;
    shim(worker, package, &made_from)?;
    minify(worker, package)?;
    client(root, worker, package)?;
    fs::write(stamp, made_from).context("the package can't be written")
}

/// The module and what connects it with the browser.
fn glue(module: &Path, package: &Path) -> Result<()> {
    let mut output = Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(false)
        // With it the worker starts afresh from storage after a trap.
        .reset_state_function(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()?;
    let names = shorten_names(&mut output);
    mute_panics(&mut output)?;
    output.emit(package)?;
    let path = package.join("hdms_worker.js");
    let script = rename(&fs::read_to_string(&path)?, &names)?;
    Ok(fs::write(path, script)?)
}

/// Has a panic trap at once instead of making up a sentence first, which in a browser has nowhere to go:
/// these functions of the standard library never return.
fn mute_panics(output: &mut Output) -> Result<()> {
    let mut muted = [0; PANICS.len()];
    for function in output.wasm_mut().funcs.iter_mut() {
        // `core[digest]::…`, or without the digest.
        let path = function.name.as_ref().and_then(|name| name.split_once("::"));
        let path = path.filter(|(root, _)| root.split('[').next() == Some("core"));
        let panics = path.and_then(|(_, path)| PANICS.iter().position(|it| path.starts_with(it)));
        if let Some(which) = panics {
            let mut body = function.kind.unwrap_local_mut().builder_mut().func_body();
            body.instrs_mut().clear();
            body.unreachable();
            muted[which] += 1;
        }
    }
    if let Some(which) = muted.iter().position(|count| *count == 0) {
        bail!("nothing in core is called {}… any more: what panics there now?", PANICS[which]);
    }
    Ok(())
}

/// Gives what the module imports from its script short names: their own end with digests, which no
/// compression makes shorter. Answers the new name of each.
fn shorten_names(output: &mut Output) -> HashMap<String, String> {
    let mut names = HashMap::new();
    let imports = output.wasm_mut().imports.iter_mut();
    for import in imports.filter(|import| import.module == SCRIPT) {
        let short = format!("f{}", names.len());
        names.insert(mem::replace(&mut import.name, short.clone()), short);
    }
    names
}

/// The script with the functions of these names called otherwise.
fn rename(script: &str, names: &HashMap<String, String>) -> Result<String> {
    let (mut renamed, mut found) = (String::new(), 0);
    for line in script.lines() {
        let function = line.trim_start().split_once(": function(");
        let short = function.and_then(|(name, rest)| Some((names.get(name)?, rest)));
        if let Some((name, rest)) = short {
            renamed += &format!("{name}: function({rest}\n");
            found += 1;
        } else {
            renamed += &format!("{line}\n");
        }
    }
    if found != names.len() {
        bail!("the script has {found} of {} functions that the module imports", names.len());
    }
    Ok(renamed)
}

/// Takes out of the scripts what only people read.
fn minify(worker: &Path, package: &Path) -> Result<()> {
    let mut minifier = Command::new("node");
    minifier.arg(worker.join(MINIFY)).arg(package);
    run(&mut minifier, "the minifier")
}

/// The service worker's script. Its version keeps the cached modules of two versions apart.
fn shim(worker: &Path, package: &Path, version: &str) -> Result<()> {
    fs::copy(worker.join(SHIM), package.join("sw.js")).context("the shim can't be copied")?;
    fs::write(package.join("sw.d.ts"), "export {};\n")?;
    let version = format!("export default \"{}\";\n", &version[..16]);
    fs::write(package.join("version.js"), version).context("the package can't be written")
}

/// The client for pages: JavaScript and types.
fn client(root: &Path, worker: &Path, package: &Path) -> Result<()> {
    let mut compiler = Command::new("node");
    compiler.arg(root.join("node_modules/typescript/bin/tsc"));
    compiler.arg("--project").arg(worker.join(TSCONFIG));
    compiler.arg("--outDir").arg(package.join("client"));
    run(&mut compiler, "tsc")
}

/// A digest of all that decides what the package holds: the module, the sources of shim and client,
/// the versions of wasm-opt and the minifier, this program.
fn fingerprint(root: &Path, worker: &Path, module: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let mut paths = vec![
        module.to_owned(),
        root.join(BINARYEN).join("package.json"),
        root.join(MINIFIER).join("package.json"),
        env::current_exe()?,
        worker.join(SHIM),
        worker.join(MINIFY),
        worker.join(TSCONFIG),
    ];
    let mut client = Vec::new();
    for entry in fs::read_dir(worker.join("client"))? {
        client.push(entry?.path());
    }
    client.sort();
    paths.extend(client);
    for path in paths {
        let bytes = fs::read(&path).with_context(|| format!("{} is missing", path.display()))?;
        digest.update(Sha256::digest(bytes));
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn optimise(root: &Path, module: &Path) -> Result<()> {
    let mut optimiser = Command::new("node");
    optimiser
        .arg(root.join(BINARYEN).join("bin/wasm-opt"))
        .args(PASSES)
        .args(FEATURES)
        .arg(module)
        .arg("--output")
        .arg(module);
    run(&mut optimiser, "wasm-opt")
}

fn run(command: &mut Command, name: &str) -> Result<()> {
    let status = command.status().context("node could not be started")?;
    if !status.success() {
        bail!("{name} failed, see above");
    }
    Ok(())
}
