//! A log of before there were witnesses, which the operator pins.

use std::path::Path;
use std::process::{Command, Output};

use hdms::Error;
use hdms::log::TlogProof;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::common::Net;
use crate::depositing::Depositors;
use crate::scene::{network, start};

/// Runs `hdms server pin-log` with this note.
async fn pin(net: &Net, note: &str) -> Output {
    let file = net.dir.path().join("notary.checkpoint");
    std::fs::write(&file, note).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args([Path::new("server"), Path::new("pin-log"), &file, Path::new("--data")]);
    command.arg(net.data());
    spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn receipts_under_a_pinned_checkpoint_need_no_witness_and_no_others_do_without() {
    let (net, mut notaries) = network(0, 1).await;
    let notary = notaries.remove(0);
    let people = Depositors::of(&net).await;
    let receipts = [people.deposit(&notary).await.unwrap(), people.deposit(&notary).await.unwrap()];
    for receipt in &receipts {
        assert!(people.verified(receipt).await.unwrap().witnesses().is_empty());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (witness, ()) = tokio::join!(start(&net, "notary-b", listener), net.admit_next());
    let _witness = witness.unwrap();
    net.operator().set(|settings| settings.rules.witnesses = 1).await.unwrap();
    let now = net.now().seconds();
    net.until(|trust| trust.parameters().witnesses_needed(now) == 1).await;
    for receipt in &receipts {
        assert_eq!(people.verified(receipt).await.err(), Some(Error::ReceiptForged));
    }

    let note = TlogProof::parse(&receipts[0]).unwrap().checkpoint.to_text();
    let altered = note.replacen("\n1\n", "\n2\n", 1);
    let refused = pin(&net, &altered).await;
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(Error::LogForged.code()), "{said}");
    let pinned = pin(&net, &note).await;
    assert!(pinned.status.success(), "{pinned:?}");
    let said = String::from_utf8(pinned.stdout).unwrap();
    assert_eq!(said, format!("pinned: {} with 1 leaves\n", notary.member().id()));

    net.until(|trust| !trust.parameters().pinned_logs.is_empty()).await;
    assert!(people.verified(&receipts[0]).await.unwrap().witnesses().is_empty());
    assert_eq!(people.verified(&receipts[1]).await.err(), Some(Error::ReceiptForged));
}
