//! Folders of pages that a network under test serves: as they are built, or with something put in
//! their way.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;

/// Sends everything twice: goes before the node's own script in the service worker. What is
/// acknowledged is only acknowledged at the second try, so that every message is fetched twice.
const TWICE: &str = r#"
let doubled = 0;
addEventListener("message", (event) => {
    if (event.data?.hook === "doubled") event.ports[0].postMessage(doubled);
});
const once = self.fetch.bind(self);
const acknowledged = new Set();
self.fetch = async (input, init) => {
    const request = new Request(input, init);
    const { pathname } = new URL(request.url);
    if (request.method !== "POST") return once(request);
    if (pathname === "/mailbox/acknowledgement") {
        const { upto } = await request.clone().json();
        if (acknowledged.has(upto)) return once(request);
        acknowledged.add(upto);
        return new Response(null, { status: 204 });
    }
    if (pathname === "/inbox" || pathname === "/deposits") {
        await once(request.clone());
        doubled += 1;
    }
    return once(request);
};
"#;

/// Lets the page trap the WASM, or make the next commit fail.
const HOOKS: &str = r#"
import * as node from "./hdms_worker.js";
addEventListener("message", (event) => {
    const hook = event.data?.hook;
    if (hook) event.waitUntil(Promise.resolve(node[hook]()).then(() => event.ports[0].postMessage(true)));
});
"#;

/// The modules of Firebase's SDK that are used, with what they import, and where they lie in
/// `node_modules`.
const SDK: [(&str, &str); 9] = [
    ("firebase/app", "firebase/app/dist/esm/index.esm.js"),
    ("firebase/messaging", "firebase/messaging/dist/esm/index.esm.js"),
    ("@firebase/app", "@firebase/app/dist/esm/index.esm.js"),
    ("@firebase/messaging", "@firebase/messaging/dist/esm/index.esm.js"),
    ("@firebase/installations", "@firebase/installations/dist/esm/index.esm.js"),
    ("@firebase/component", "@firebase/component/dist/esm/index.esm.js"),
    ("@firebase/logger", "@firebase/logger/dist/esm/index.esm.js"),
    ("@firebase/util", "@firebase/util/dist/index.esm.js"),
    ("idb", "idb/build/index.js"),
];

/// A page with the node's client and nothing else; its script, as the server's Content-Security-Policy
/// wants it, in a file of its own.
const BARE: &str = r#"<!doctype html><html lang="en"><title>Node</title>
<script type="module" src="./bare.js"></script>"#;
const BARE_SCRIPT: &str = r#"import { connect, uuidv7 } from "./client/index.js";
window.hdms = { ...(await connect({ worker: "./sw.js" })), uuidv7 };
"#;

/// Where the bare page of [`with_hooks`] lies.
pub const BARE_PAGE: &str = "bare.html";

/// The patient's pages as `make pages` builds them.
pub fn built() -> PathBuf {
    root().join("www/dist")
}

/// The same, with a service worker that sends everything twice.
pub fn twice() -> Result<TempDir> {
    let folder = copy(&built())?;
    write(folder.path(), "twice.js", TWICE)?;
    put_before_worker(folder.path(), "import \"./twice.js\";")?;
    Ok(folder)
}

/// The same, on the worker that a test may trap; [`BARE_PAGE`] is a bare page beside them.
pub fn with_hooks() -> Result<TempDir> {
    let folder = copy(&built())?;
    copy_into(&hooked(), folder.path())?;
    write(folder.path(), BARE_PAGE, BARE)?;
    write(folder.path(), "bare.js", BARE_SCRIPT)?;
    add_hooks(folder.path())?;
    Ok(folder)
}

/// A bare page on the worker that a test may trap: `hdms.node` is the node.
pub fn bare() -> Result<TempDir> {
    let folder = bare_on(&hooked())?;
    add_hooks(folder.path())?;
    Ok(folder)
}

/// A bare page on the npm package in this folder.
pub fn bare_on(package: &Path) -> Result<TempDir> {
    let folder = copy(package)?;
    write(folder.path(), "index.html", BARE)?;
    write(folder.path(), "bare.js", BARE_SCRIPT)?;
    Ok(folder)
}

/// Puts Firebase's SDK where the bare page finds it, as a bundler would.
pub fn add_firebase(folder: &Path) -> Result<()> {
    lead_imports(&folder.join("client/firebase.js"))?;
    for (_, path) in SDK {
        let parent = Path::new(path).parent().ok_or("no folder")?;
        copy_into(&root().join("node_modules").join(parent), &folder.join(parent))?;
        lead_imports(&folder.join(path))?;
    }
    Ok(())
}

/// Leads a module's imports of the SDK to where it lies.
fn lead_imports(module: &Path) -> Result<()> {
    let mut text = fs::read_to_string(module)?;
    for (name, path) in SDK {
        for (word, end) in [("from ", ""), ("import ", ""), ("import(", ")")] {
            for quote in ['"', '\''] {
                let bare = format!("{word}{quote}{name}{quote}{end}");
                text = text.replace(&bare, &format!("{word}\"/{path}\"{end}"));
            }
        }
    }
    Ok(fs::write(module, text)?)
}

fn add_hooks(folder: &Path) -> Result<()> {
    write(folder, "hooks.js", HOOKS)?;
    put_before_worker(folder, "import \"./hooks.js\";")
}

fn hooked() -> PathBuf {
    root().join("worker/pkg-test-hooks")
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn put_before_worker(folder: &Path, line: &str) -> Result<()> {
    let worker = fs::read_to_string(folder.join("sw.js"))?;
    write(folder, "sw.js", &format!("{line}\n{worker}"))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    Ok(fs::write(folder.join(name), text)?)
}

fn copy(from: &Path) -> Result<TempDir> {
    let folder = TempDir::new()?;
    copy_into(from, folder.path())?;
    Ok(folder)
}

/// Copies the files of a folder, and those below it, into another one that may not be there yet.
pub fn copy_into(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from).map_err(|_| format!("{} is missing", from.display()))?;
    for entry in entries {
        let (entry, path) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            copy_into(&entry, &path)?;
        } else {
            fs::copy(&entry, &path)?;
        }
    }
    Ok(())
}
