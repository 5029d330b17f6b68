//! Notes, checkpoints and proofs have one form each: what is not in it is refused, whatever it is.

use hdms::Error;
use hdms::log::note::MAX_SIGNATURES;
use hdms::log::proof::MAX_HASHES;
use hdms::log::{Checkpoint, MAX_TEXT, Note, NoteSignature, SignedCheckpoint, TlogProof};
use proptest::prelude::*;

const TEXT: &str = "origin\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
const LINE: &str = "— name AAECAwQ=\n";
const HASH: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

fn note(text: &str, lines: &str) -> Result<Note, Error> {
    Note::parse(&format!("{text}\n{lines}"))
}

fn proof(head: &str) -> Result<TlogProof, Error> {
    TlogProof::parse(&format!("{head}\n{TEXT}\n{LINE}"))
}

#[test]
fn a_note_may_have_empty_lines_and_any_script() {
    let read = note("Ognuno sta solo\n\ned è subito sera.\n", "— ~α.example/ж AAECAwQ=\n").unwrap();
    assert_eq!(read.text, "Ognuno sta solo\n\ned è subito sera.\n");
    assert_eq!(read.signatures[0].name, "~α.example/ж");
    assert_eq!(read.signatures[0].key_id, [0, 1, 2, 3]);
    assert_eq!(read.signatures[0].signature, [4]);
}

#[test]
fn signature_lines_of_another_form_are_refused() {
    assert!(note(TEXT, LINE).is_ok());
    for line in [
        "",
        "\n",
        "— name AAECAwQ=",
        "- name AAECAwQ=\n",
        "—name AAECAwQ=\n",
        " — name AAECAwQ=\n",
        "— name\n",
        "— AAECAwQ=\n",
        "—  AAECAwQ=\n",
        "— name  AAECAwQ=\n",
        "— na me AAECAwQ=\n",
        "— na+me AAECAwQ=\n",
        "— na\u{a0}me AAECAwQ=\n",
        "— na\u{2003}me AAECAwQ=\n",
        "— name AAECAwQ= \n",
        "— name AAECAwQ\n",
        "— name AAECAwR=\n",
        "— name AAECAw==\n",
        "— name AAEC-wQ=\n",
        "— name AAECAwQ=\r\n",
        "— name AAECAwQ=\n— name AAECAwQ=",
        "— name AAECAwQ=\n\n",
    ] {
        assert_eq!(note(TEXT, line), Err(Error::LogForged), "{line:?}");
    }
}

#[test]
fn notes_of_another_form_are_refused() {
    for text in ["", "no end", "a tab\t\n", "a bell\u{7}\n", "a return\r\n", "a zero\0\n"] {
        assert_eq!(note(text, LINE), Err(Error::LogForged), "{text:?}");
    }
    assert_eq!(Note::parse(&format!("{TEXT}{LINE}")), Err(Error::LogForged));
}

#[test]
fn notes_have_limits() {
    assert!(note(TEXT, &LINE.repeat(MAX_SIGNATURES)).is_ok());
    assert_eq!(note(TEXT, &LINE.repeat(MAX_SIGNATURES + 1)), Err(Error::LogForged));
    let longest = "x".repeat(MAX_TEXT - LINE.len() - 2) + "\n";
    assert!(note(&longest, LINE).is_ok());
    assert_eq!(note(&format!("x{longest}"), LINE), Err(Error::LogForged));
}

#[test]
fn checkpoints_of_another_form_are_refused() {
    assert_eq!(Checkpoint::parse(TEXT).map(|read| read.size), Ok(7));
    let sized = |size: &str| Checkpoint::parse(&TEXT.replace("\n7\n", &format!("\n{size}\n")));
    assert_eq!(sized("0").map(|read| read.size), Ok(0));
    assert_eq!(sized("18446744073709551615").map(|read| read.size), Ok(u64::MAX));
    for size in ["", "07", "00", "+7", "-7", " 7", "7 ", "7.0", "0x7", "٧", "18446744073709551616"]
    {
        assert_eq!(sized(size), Err(Error::LogForged), "{size:?}");
    }
    assert!(Checkpoint::parse(&format!("{TEXT}one\ntwo\n")).is_ok());
    for text in [
        String::new(),
        "\n".into(),
        TEXT.trim_end().into(),
        TEXT.replace("origin", ""),
        TEXT.replace("I=", "J="),
        TEXT.replace("I=\n", "I=I=\n"),
        TEXT.replace("CsUY", ""),
        TEXT.replace("/X", "_X"),
        format!("{TEXT}\n"),
        format!("{TEXT}one\n\ntwo\n"),
        format!("{TEXT}unended"),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(Error::LogForged), "{text:?}");
    }
}

#[test]
fn proofs_of_another_form_are_refused() {
    let title = "c2sp.org/tlog-proof@v1\n";
    for head in ["index 3\n", "extra \nindex 3\n", "extra e30=\nindex 18446744073709551615\n"] {
        assert!(proof(&format!("{title}{head}")).is_ok(), "{head:?}");
    }
    for head in [
        "",
        "index\n",
        "index \n",
        "index 03\n",
        "index 3 \n",
        "index 3\nextra e30=\n",
        "extra e30\nindex 3\n",
        "extra\nindex 3\n",
        "extra e30=\nextra e30=\nindex 3\n",
        "index 3\n\n",
        "index 3\ne30=\n",
    ] {
        assert_eq!(proof(&format!("{title}{head}")), Err(Error::LogForged), "{head:?}");
    }
    for title in ["", "c2sp.org/tlog-proof@v2\n", " c2sp.org/tlog-proof@v1\n"] {
        assert_eq!(proof(&format!("{title}index 3\n")), Err(Error::LogForged), "{title:?}");
    }
    let hashes = |count| proof(&format!("{title}index 3\n{}", HASH.repeat(count)));
    assert_eq!(hashes(MAX_HASHES).map(|proof| proof.hashes.len()), Ok(MAX_HASHES));
    assert_eq!(hashes(MAX_HASHES + 1), Err(Error::LogForged));
    let extra = |length| proof(&format!("{title}extra {}\nindex 3\n", "A".repeat(length)));
    assert!(extra(MAX_TEXT).is_ok());
    assert_eq!(extra(2 * MAX_TEXT), Err(Error::LogForged));
}

/// Lines that are nearly right, in any order.
fn nearly() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("c2sp.org/tlog-proof@v1".to_owned()),
        Just(HASH.trim_end().to_owned()),
        Just(LINE.trim_end().to_owned()),
        Just("— other AAECAwQF".to_owned()),
        Just(String::new()),
        Just("extra e30=".to_owned()),
        (0_u64..3).prop_map(|index| format!("index {index}")),
        (0_u64..3).prop_map(|size| size.to_string()),
        "\\PC{0,6}",
    ];
    (prop::collection::vec(line, 0..12), any::<bool>())
        .prop_map(|(lines, ended)| lines.join("\n") + if ended { "\n" } else { "" })
}

fn signature() -> impl Strategy<Value = NoteSignature> {
    let bytes = prop::collection::vec(any::<u8>(), 1..80);
    ("[^\\s+\\x00-\\x1f]{1,12}", any::<[u8; 4]>(), bytes)
        .prop_map(|(name, key_id, signature)| NoteSignature { name, key_id, signature })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_again(
        text in prop_oneof![
            nearly(),
            nearly().prop_map(|head| format!("{head}\n{TEXT}\n{LINE}")),
            nearly().prop_map(|lines| format!("{TEXT}\n{LINE}{lines}")),
            nearly().prop_map(|lines| format!("c2sp.org/tlog-proof@v1\nindex 1\n{lines}\n{TEXT}\n{LINE}")),
            any::<String>(),
        ],
    ) {
        if let Ok(read) = Note::parse(&text) {
            prop_assert_eq!(read.to_text(), text.clone());
        }
        if let Ok(read) = SignedCheckpoint::parse(&text) {
            prop_assert_eq!(read.to_text(), text.clone());
            prop_assert!(read.note().text.starts_with(&read.checkpoint().to_text()));
        }
        if let Ok(read) = TlogProof::parse(&text) {
            prop_assert_eq!(read.to_text(), text);
        }
    }

    #[test]
    fn what_is_written_is_read_again(
        text in "([^\\x00-\\x1f]{0,9}\n){1,5}",
        signatures in prop::collection::vec(signature(), 1..6),
    ) {
        let note = Note { text, signatures };
        prop_assert_eq!(Note::parse(&note.to_text()), Ok(note));
    }
}
