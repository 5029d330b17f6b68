//! Signed documents as lines of JSON, which a fuzzer can mutate: inside base64url and behind digests
//! it would change nothing but break everything.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hdms::base64url::digest;

/// The compact JWS of a document spelt as a line of header and the payload, both JSON; `None` for
/// other input.
pub fn token(spelt: &[u8]) -> Option<String> {
    let line = spelt.iter().position(|byte| *byte == b'\n')?;
    let (header, payload) = (BASE64.encode(&spelt[..line]), BASE64.encode(&spelt[line + 1..]));
    Some(format!("{header}.{payload}.{}", BASE64.encode("signed")))
}

/// The spelling from which [`token`] makes this JWS; `None` when it is no JWS.
pub fn spell(compact: &str) -> Option<Vec<u8>> {
    let mut parts = compact.split('.');
    let header = BASE64.decode(parts.next()?).ok()?;
    let payload = BASE64.decode(parts.next()?).ok()?;
    Some([&header[..], b"\n", &payload].concat())
}

/// The compact SD-JWT of a record spelt as lines of header, payload and disclosures, in which `@3@`
/// stands for the digest of the fourth disclosure; `None` for other input.
pub fn record(spelt: &[u8]) -> Option<String> {
    let mut lines = std::str::from_utf8(spelt).ok()?.split('\n');
    let (header, payload) = (lines.next()?, lines.next()?);
    let mut disclosures: Vec<String> = Vec::new();
    for line in lines {
        disclosures.push(BASE64.encode(with_digests(line, &disclosures)));
    }
    let jwt = token(format!("{header}\n{}", with_digests(payload, &disclosures)).as_bytes())?;
    Some(disclosures.iter().fold(jwt + "~", |record, next| record + next + "~"))
}

/// The spelling from which [`record`] makes this SD-JWT; `None` when it is none.
pub fn spell_record(compact: &str) -> Option<Vec<u8>> {
    let (jwt, disclosures) = compact.split_once('~')?;
    let mut spelt = String::from_utf8(spell(jwt)?).ok()?;
    for disclosure in disclosures.split('~').filter(|disclosure| !disclosure.is_empty()) {
        let json = String::from_utf8(BASE64.decode(disclosure).ok()?).ok()?;
        spelt = spelt + "\n" + &json;
    }
    let disclosures = disclosures.split('~').filter(|disclosure| !disclosure.is_empty());
    for (number, disclosure) in disclosures.enumerate() {
        spelt = spelt.replace(&digest(disclosure), &format!("@{number}@"));
    }
    Some(spelt.into_bytes())
}

fn with_digests(line: &str, disclosures: &[String]) -> String {
    let mut line = line.to_owned();
    for (number, disclosure) in disclosures.iter().enumerate() {
        let name = format!("@{number}@");
        if line.contains(&name) {
            line = line.replace(&name, &digest(disclosure));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{record, spell, spell_record, token};

    #[test]
    fn what_is_spelt_is_made_again() {
        let jwt = token(b"{\"alg\":\"PS256\"}\n{\"iss\":\"a\"}").unwrap();
        assert_eq!(token(&spell(&jwt).unwrap()), Some(jwt));
        let spelt =
            "{}\n{\"_sd\":[\"@1@\"]}\n[\"salt\",\"a\",1]\n[\"salt\",\"b\",{\"_sd\":[\"@0@\"]}]";
        let compact = record(spelt.as_bytes()).unwrap();
        assert_eq!(compact.matches('~').count(), 3);
        assert_eq!(spell_record(&compact).unwrap(), spelt.as_bytes());
    }
}
