//! The protocol reference shows what the code does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::collections::HashSet;
use std::path::Path;

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

#[test]
fn every_link_within_and_between_the_pages_leads_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for page in ["architecture.md", "operator.md", "privacy.md", "protocol.md", "threats.md"] {
        let text = std::fs::read_to_string(docs.join(page)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, target) = link.split_once('#').unwrap_or((link, ""));
            let there = docs.join(if file.is_empty() { page } else { file });
            assert!(there.exists(), "{page}: {link}");
            let led = target.is_empty()
                || anchors(&std::fs::read_to_string(&there).unwrap()).contains(target);
            assert!(led, "{page}: {link}");
        }
    }
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = ["architecture.md", "operator.md", "privacy.md", "threats.md"];
    let rooms = ["docs/", "nodes/", "src/", "tests/", "worker/", "www/"];
    for page in pages {
        let text = std::fs::read_to_string(top.join("docs").join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let files: Vec<_> =
            quoted.filter(|text| rooms.iter().any(|room| text.starts_with(room))).collect();
        assert!(page == "operator.md" || !files.is_empty(), "{page}");
        for file in files {
            assert!(top.join(file).exists(), "{page}: {file}");
        }
    }
}
