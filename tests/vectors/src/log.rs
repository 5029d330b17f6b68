//! A checkpoint that public servers have signed.

use base64::prelude::{BASE64_STANDARD as BASE64, Engine};
use hdms::Error;
use hdms::log::{KeyKind, NoteKey, SignedCheckpoint};
use hdms::provider::Primitives;

/// What a staging log of Google published, with the cosignatures of public witnesses.
const PUBLIC: &str = "\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";

const PUBLIC_LOG: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";

const PUBLIC_WITNESSES: [&str; 4] = [
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
];

/// A witness that did not sign it.
const ABSENT_WITNESS: &str =
    "rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG";

/// The key that a verifier key's text holds, which must be the text that we write for it.
pub fn key(vkey: &str) -> NoteKey {
    let (name, rest) = vkey.split_once('+').expect("a name");
    let (_, bytes) = rest.split_once('+').expect("an id");
    let bytes = BASE64.decode(bytes).expect("a key");
    let kind = if bytes[0] == 1 { KeyKind::Log } else { KeyKind::Witness };
    let key = NoteKey { name: name.into(), kind, key: bytes[1..].try_into().expect("32 bytes") };
    assert_eq!(key.vkey(), vkey);
    key
}

/// The public checkpoint is its log's and its witnesses', as it is and not otherwise.
pub async fn public_checkpoint(primitives: &impl Primitives) {
    let checkpoint = SignedCheckpoint::parse(PUBLIC).expect("a checkpoint");
    assert_eq!(checkpoint.checkpoint().size, 1_432_088_532);
    assert_eq!(checkpoint.to_text(), PUBLIC);
    assert_eq!(checkpoint.verify_log(&key(PUBLIC_LOG), primitives).await, Ok(()));
    for witness in PUBLIC_WITNESSES {
        let time = checkpoint.cosignature_time(&key(witness), primitives).await;
        assert_eq!(time, Ok(Some(1_779_573_024)), "{witness}");
    }
    let absent = checkpoint.cosignature_time(&key(ABSENT_WITNESS), primitives).await;
    assert_eq!(absent, Ok(None));

    let later = PUBLIC.replace("2net5wAAAABqEiEg", "2net5wAAAABqEiEh");
    let later = SignedCheckpoint::parse(&later).expect("a checkpoint");
    let time = later.cosignature_time(&key(PUBLIC_WITNESSES[2]), primitives).await;
    assert_eq!(time, Err(Error::LogForged));
    for (part, other) in [
        ("\n1432088532\n", "\n1432088533\n"),
        ("\nU7WM79", "\nU7WM78"),
        ("Ro=\n\n", "Ro=\nextension\n\n"),
    ] {
        altered(&PUBLIC.replace(part, other), primitives).await;
    }
}

async fn altered(note: &str, primitives: &impl Primitives) {
    let altered = SignedCheckpoint::parse(note).expect("a checkpoint");
    let signed = altered.verify_log(&key(PUBLIC_LOG), primitives).await;
    assert_eq!(signed, Err(Error::LogForged));
    for witness in PUBLIC_WITNESSES {
        let time = altered.cosignature_time(&key(witness), primitives).await;
        assert_eq!(time, Err(Error::LogForged), "{witness}");
    }
}
