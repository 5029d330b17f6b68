//! What lies in files, in clear or encoded.

use std::fs;
use std::path::{Path, PathBuf};

use hdms::base64url::encode;

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}

/// A text as it may lie in a file: as it is, and what is sure to be in its base64url, whatever stands
/// before it, up to three times over, as in a JWT within a JWT.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut all = vec![text.as_bytes().to_vec()];
    let mut last = all.clone();
    for _ in 0..3 {
        let encoded = last.iter().flat_map(|bytes| {
            (0..3).map(|shift| {
                let whole = encode([&vec![0; shift][..], bytes].concat()).into_bytes();
                whole.get(2 * shift..whole.len() - 2).unwrap_or_default().to_vec()
            })
        });
        // Shorter ones are found anywhere by chance.
        last = encoded.filter(|part: &Vec<u8>| part.len() >= 8).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// The files below `folder` that hold one of `texts` in one of its forms.
pub fn holding(folder: &Path, texts: &[&str]) -> Vec<(PathBuf, String)> {
    let found = files(folder).into_iter().flat_map(|path| {
        let content = fs::read(&path).unwrap_or_default();
        let has = |text: &&&str| forms(text).iter().any(|form| contains(&content, form));
        let held: Vec<_> = texts.iter().filter(has).map(|text| (*text).to_owned()).collect();
        held.into_iter().map(move |text| (path.clone(), text)).collect::<Vec<_>>()
    });
    found.collect()
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    let begins = content.iter().enumerate().filter(|(_, byte)| **byte == part[0]);
    let mut begins = begins.map(|(place, _)| place);
    begins.any(|place| content[place..].starts_with(part))
}
