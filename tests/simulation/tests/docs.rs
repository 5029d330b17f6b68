//! The protocol reference shows what the code does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::MessageType;
use hdms_simulation::docs::{EXAMPLES, PAGE, Reference};

#[test]
fn the_examples_of_the_protocol_reference_are_what_the_code_makes() {
    let reference = block_on(Reference::new()).unwrap();
    assert_eq!(reference.fill(PAGE).unwrap(), PAGE, "run `make docs`");
    assert_eq!(reference.full().unwrap(), EXAMPLES, "run `make docs`");
}

#[test]
fn every_code_and_type_that_the_page_names_exists() {
    let is_name = |text: &&str| {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        text.split_once('/').is_some_and(|(kind, name)| part(kind) && part(name))
    };
    let named: HashSet<_> = PAGE.split('`').skip(1).step_by(2).filter(is_name).collect();
    for name in &named {
        let known = Error::from_code(name).is_some()
            || MessageType::from_name(name).is_ok()
            || ["application/", "text/"].iter().any(|media| name.starts_with(media));
        assert!(known, "{name}");
    }
    assert!(MessageType::ALL.iter().all(|kind| named.contains(kind.name())));
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> HashSet<String> {
    let anchor = |heading: &str| {
        let kept =
            heading.chars().filter(|letter| letter.is_alphanumeric() || " -".contains(*letter));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let headings = page.lines().filter_map(|line| line.strip_prefix("##"));
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
}

/// The folder of all.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What people read, each page with its place below [`top`].
fn pages() -> impl Iterator<Item = (&'static str, String)> {
    const PAGES: [&str; 10] = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/operator.md",
        "docs/privacy.md",
        "docs/protocol.md",
        "docs/threats.md",
        "examples/hand-in/README.md",
    ];
    PAGES.into_iter().map(|page| (page, std::fs::read_to_string(top().join(page)).unwrap()))
}

#[test]
fn every_link_within_and_between_the_pages_leads_somewhere() {
    for (page, text) in pages() {
        let here = top().join(page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, target) = link.split_once('#').unwrap_or((link, ""));
            let there = match file {
                "" => here.clone(),
                file => here.with_file_name(file),
            };
            assert!(there.exists(), "{page}: {link}");
            let led = target.is_empty()
                || anchors(&std::fs::read_to_string(&there).unwrap()).contains(target);
            assert!(led, "{page}: {link}");
        }
    }
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let rooms = ["docs/", "examples/", "nodes/", "src/", "tests/", "worker/", "www/"];
    let mut named = 0;
    for (page, text) in pages() {
        let quoted = text.split('`').skip(1).step_by(2);
        for file in quoted.filter(|text| rooms.iter().any(|room| text.starts_with(room))) {
            assert!(top().join(file).exists(), "{page}: {file}");
            named += 1;
        }
    }
    assert!(named > 200, "{named}");
}
