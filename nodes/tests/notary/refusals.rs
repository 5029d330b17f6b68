//! What the notary refuses, each by its code.

use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ledger::{Entry, VerificationKey};
use hdms::notary::{Deposit, DepositAnswer, MAX_DEPOSITS};
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_nodes::base::system::{NodeClock, SystemRandomness};

use crate::case::{Case, refused};
use crate::common::{Signed, body, entry_id, problem};

#[tokio::test]
async fn only_participants_deposit_and_a_successor_has_the_same_ones() {
    let case = Case::begin().await;
    let stranger = case.net.hospital(2).await;
    let first = case.request("request");
    let deposit = case.endorsed(&first).await;
    let answers = case.deposit(&stranger, vec![deposit.clone()]).await;
    assert_eq!(answers, [refused(Error::NotParticipant)]);

    case.deposit(&case.patient, vec![deposit]).await;
    let mut hijack = case.result("hijacked");
    hijack.counterparty = stranger.id.clone();
    let endorsements =
        vec![case.endorse(&hijack, &case.hospital).await, case.endorse(&hijack, &stranger).await];
    let deposit = Deposit { entry: hijack.id, case_secret: None, draw: None };
    let hijack = Signed { endorsements, deposit };
    let cards = [&case.hospital, &stranger].map(|one| one.card.jwt().to_owned()).into();
    let envelope = case.seal_with(&stranger, cards, vec![hijack]).await;
    assert_eq!(case.send(envelope).await.unwrap(), [refused(Error::NotParticipant)]);
}

#[tokio::test]
async fn forged_missing_and_mismatched_endorsements_are_refused_each_by_its_code() {
    let case = Case::begin().await;
    let entry = case.request("request");
    let other = Entry { verification_key: VerificationKey::of("other"), ..entry.clone() };
    let good = case.endorsed(&entry).await;
    let [by_patient, by_hospital]: [String; 2] = good.endorsements.clone().try_into().unwrap();
    let stranger = case.net.person(2).await;
    let of_other = case.endorse(&other, &case.hospital).await;
    // The stranger's own endorsement can't even be made; its signature under another's name can.
    let forged = {
        let mut entry = entry.clone();
        entry.counterparty = stranger.id.clone();
        case.endorse(&entry, &stranger).await
    };
    let mut altered = by_hospital.clone().into_bytes();
    let last = altered.len() - 10;
    altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();

    let with = |endorsements: [&String; 2]| Signed {
        endorsements: endorsements.map(Clone::clone).into(),
        ..good.clone()
    };
    let nothing = String::new();
    for (deposit, error) in [
        (with([&by_patient, &altered]), Error::EndorsementForged),
        (with([&by_patient, &forged]), Error::CardUnknown),
        (with([&by_patient, &by_patient]), Error::EndorsementMissing),
        (with([&by_patient, &of_other]), Error::EntryMismatch),
        (with([&by_patient, &nothing]), Error::EntryMalformed),
    ] {
        assert_eq!(case.deposit(&case.patient, vec![deposit]).await, [refused(error)]);
    }
    let answers = case.deposit(&case.patient, vec![good]).await;
    assert_eq!(case.place(&answers[0], &entry).await, 0, "nothing of it was logged");
}

#[tokio::test]
async fn an_endorsement_counts_only_under_the_card_of_its_author() {
    let case = Case::begin().await;
    let good = case.endorsed(&case.request("request")).await;
    let [patient, hospital]: [String; 2] = case.cards().try_into().unwrap();
    let mut forged = hospital.clone().into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for (cards, expected) in [
        (vec![], Error::CardUnknown),
        (vec![patient.clone()], Error::CardUnknown),
        (vec![patient.clone(), "no card".into()], Error::CardUnknown),
        (vec![patient.clone(), forged], Error::CardForged),
    ] {
        let envelope = case.seal_with(&case.patient, cards, vec![good.clone()]).await;
        assert_eq!(case.send(envelope).await.unwrap(), [refused(expected)]);
    }
    let answers = case.deposit(&case.patient, vec![good]).await;
    assert!(matches!(&answers[..], [DepositAnswer::Receipt(_)]), "cards in any order");
}

#[tokio::test]
async fn a_revoked_participant_counts_no_longer() {
    let case = Case::begin().await;
    let deposit = case.endorsed(&case.request("request")).await;
    case.net.operator().revoke(case.hospital.id.clone(), "closed").await.unwrap();
    let revoked = Err(Error::CardRevoked);
    let known = |trust: &hdms::network::Trust| {
        trust.check_revocation(&case.hospital.id, case.net.now()) == revoked
    };
    case.net.until(known).await;
    while !known(&case.notary().member().standing().trust) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let answers = case.deposit(&case.patient, vec![deposit.clone()]).await;
    assert_eq!(answers, [refused(Error::CardRevoked)]);
    let envelope = case.seal(&case.hospital, vec![deposit]).await;
    assert_eq!(case.send(envelope).await, Err(Error::CardRevoked));
}

#[tokio::test]
async fn envelopes_that_are_no_deposit_are_refused_whole() {
    let case = Case::begin().await;
    let deposit = case.endorsed(&case.request("request")).await;
    let good = case.seal(&case.patient, vec![deposit.clone()]).await;
    let refused = async |envelope: String, error: Error| {
        assert_eq!(case.send(envelope).await, Err(error));
    };
    refused(String::new(), Error::EnvelopeMalformed).await;
    refused("{}".into(), Error::EnvelopeMalformed).await;
    refused(good[..good.len() / 2].into(), Error::EnvelopeMalformed).await;
    refused("x".repeat(envelope::MAX_BYTES + 1), Error::EnvelopeTooLarge).await;
    let mut tampered = good.clone().into_bytes();
    let middle = tampered.len() / 2;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    refused(String::from_utf8(tampered).unwrap(), Error::DecryptionFailed).await;
    let header = hdms::base64url::encode(r#"{"alg":"RSA1_5","enc":"A256GCM"}"#);
    let rest = good.split_once('.').unwrap().1;
    refused(format!("{header}.{rest}"), Error::AlgorithmRefused).await;

    let json = |json: &str| serde_json::from_str(json).unwrap();
    for text in [
        "{}",
        "[]",
        r#"{"cards":[],"endorsements":[],"deposits":[]}"#,
        r#"{"endorsements":["a","b"],"deposits":[{"entry":"ID"}]}"#,
        r#"{"cards":[],"endorsements":["a","b"],"deposits":[{"entry":"x"}]}"#,
        r#"{"cards":["a","b","c"],"endorsements":["a","b"],"deposits":[{"entry":"ID"}]}"#,
        r#"{"cards":[],"endorsements":["a","b","c"],"deposits":[{"entry":"ID"}]}"#,
    ] {
        let text = text.replace("ID", entry_id().as_ref());
        refused(case.seal_body(&case.patient, json(&text)).await, Error::BodyMalformed).await;
    }
    let nothing = Deposit { entry: entry_id(), case_secret: None, draw: None };
    let many = vec![Signed { endorsements: vec![], deposit: nothing }; MAX_DEPOSITS + 1];
    refused(case.seal(&case.patient, many).await, Error::BodyMalformed).await;

    let request = case.seal_as(&case.patient, MessageType::TreatmentRequest, json("{}")).await;
    refused(request.unwrap(), Error::UnknownType).await;
    let approval = case.seal_as(&case.patient, MessageType::TreatmentApproval, json("{}")).await;
    refused(approval.unwrap(), Error::TypeNotForRole).await;

    case.net.clock.advance((envelope::LIFETIME + 1) * 1000);
    refused(good, Error::NetworkStale).await;
}

#[tokio::test]
async fn an_envelope_for_another_notary_is_refused() {
    let case = Case::begin().await;
    let deposit = case.endorsed(&case.request("request")).await;
    let message = Message {
        from: &case.patient.card,
        to: &case.hospital.card,
        case: &case.id,
        kind: MessageType::Deposit,
        body: body(case.cards(), vec![deposit]),
    };
    let clock = NodeClock::new(case.net.clock.clone());
    let keys = case.patient.keys;
    let (_, envelope) =
        envelope::seal(message, keys, &AwsPrimitives, &clock, &SystemRandomness).await.unwrap();
    assert_eq!(case.send(envelope).await, Err(Error::FormerKey));
}

#[tokio::test]
async fn other_addresses_and_methods_are_refused_by_their_codes() {
    let case = Case::begin().await;
    let url = case.url("");
    let answer = reqwest::get(format!("{url}/deposits")).await.unwrap();
    assert_eq!(problem(answer).await, (405, "api/method".into()));
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(problem(answer).await, (404, "api/not-found".into()));
}
