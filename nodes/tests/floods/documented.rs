//! The tables of docs/operator.md have every address of every node, and docs/protocol.md those that other
//! nodes ask.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What of the sources belongs to a node, and below which address what is in the module of published
/// logs.
const NODES: [(&str, &str, &str); 3] = [
    ("server", "src/server", "/manifests/log"),
    ("notary", "src/notary", "/log"),
    ("institution", "src/institution", ""),
];

fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    texts
}

/// Each `METHOD /path` of the routes in a source; `/network.json` is made in another way.
fn routes(source: &str, below: &str) -> BTreeSet<String> {
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| {
        let (path, handler) = rest.split_once("\", ")?;
        let method = if handler.starts_with("post(") { "POST" } else { "GET" };
        Some(format!("{method} {below}{}", path.replace("{*path}", "…")))
    });
    routes.collect()
}

fn served(folder: &str, log: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for source in sources(&Path::new(ROOT).join(folder)) {
        all.extend(routes(&source, ""));
    }
    if !log.is_empty() {
        let publication = Path::new(ROOT).join("src/base/log/publication.rs");
        all.extend(routes(&fs::read_to_string(publication).unwrap(), log));
    }
    all
}

/// The addresses in the first column of the table of this node.
fn listed(page: &str, node: &str) -> BTreeSet<String> {
    let head = format!("| {node} | cost of a request | limits |\n");
    let table = page.split_once(&head).unwrap().1;
    let rows = table.lines().take_while(|line| line.starts_with("| "));
    let first = rows.filter_map(|row| row.split(" | ").next());
    let quoted = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|text| text.contains(' ')).map(str::to_owned).collect()
}

#[test]
fn the_operator_s_tables_have_every_address_of_every_node() {
    let page = fs::read_to_string(Path::new(ROOT).join("../docs/operator.md")).unwrap();
    for (node, folder, log) in NODES {
        assert_eq!(listed(&page, node), served(folder, log), "{node}");
    }
}

#[test]
fn the_protocol_page_has_every_address_that_other_nodes_ask() {
    let page = fs::read_to_string(Path::new(ROOT).join("../docs/protocol.md")).unwrap();
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for (node, folder, log) in NODES {
        for route in served(folder, log) {
            let (method, path) = route.trim_end_matches('…').split_once(' ').unwrap();
            let is_own = path == "/network.json" || node == "institution" && path != "/inbox";
            let forms = [format!("`{method} {path}"), format!("`{method} {{endpoint}}{path}")];
            assert!(is_own || forms.iter().any(|form| page.contains(form)), "{route} of a {node}");
        }
    }
}
