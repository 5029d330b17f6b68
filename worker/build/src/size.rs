//! The worker's size as a browser downloads it.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// All WASM and JavaScript of the worker together, in bytes of brotli.
const BUDGET: usize = 300_000;

/// The folder of the package that pages load; all else is the worker's.
const CLIENT: &str = "client";

/// Prints raw and compressed size of every file that the worker loads.
///
/// Fails when the sum of the compressed sizes is above [`BUDGET`].
pub fn check(package: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(package, &mut files)?;
    files.retain(|path| !path.starts_with(package.join(CLIENT)));
    files.sort();
    let (mut raw, mut compressed) = (0, 0);
    println!("{:>9} {:>9}  worker (bytes: raw, brotli)", "raw", "brotli");
    for path in &files {
        let bytes = fs::read(path)?;
        let small = brotli_size(&bytes)?;
        let name = path.strip_prefix(package)?.display();
        println!("{:>9} {small:>9}  {name}", bytes.len());
        raw += bytes.len();
        compressed += small;
    }
    println!("{raw:>9} {compressed:>9}  of at most {BUDGET}");
    if compressed > BUDGET {
        bail!("the worker is {} bytes of brotli too large", compressed - BUDGET);
    }
    Ok(())
}

/// Adds every `.wasm` and `.js` file below `folder` to `files`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "wasm" || kind == "js") {
            files.push(path);
        }
    }
    Ok(())
}

fn brotli_size(bytes: &[u8]) -> Result<usize> {
    let mut compressed = Vec::new();
    let parameters =
        brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut compressed, &parameters)?;
    Ok(compressed.len())
}
