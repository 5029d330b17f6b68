//! The notary over HTTP: what it logs, what it refuses, and that it never changes its mind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Net, Person, case_id, entry_id, problem};
use hdms::Error;
use hdms::envelope::{self, Letter, MessageType};
use hdms::ids::{CaseId, EntryId};
use hdms::ledger::{Entry, EntryKind, VerificationKey, VerifiedEndorsement, VerifiedReceipt};
use hdms::notary::{Deposit, DepositAnswer, DepositBody, MAX_DEPOSITS};
use hdms_nodes::keys::AwsPrimitives;
use hdms_nodes::notary::Notary;
use hdms_nodes::system::{NodeClock, SystemRandomness};

/// A patient, a hospital and a notary.
struct Case {
    net: Net,
    notary: Notary,
    patient: Person,
    hospital: Person,
    id: CaseId,
}

impl Case {
    async fn begin() -> Self {
        let net = Net::start().await;
        let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
        let notary = net.notary("notary").await;
        Self { net, notary, patient, hospital, id: case_id() }
    }

    /// An entry of this case, by the patient.
    fn entry(&self, previous: Option<&EntryId>, content: &str) -> Entry {
        Entry {
            id: entry_id(),
            kind: EntryKind::Request,
            case: self.id.clone(),
            author: self.patient.id.clone(),
            counterparty: self.hospital.id.clone(),
            verification_key: VerificationKey::of(content),
            previous: previous.cloned(),
        }
    }

    async fn endorse(&self, entry: &Entry, by: &Person) -> String {
        let now = self.net.now();
        let signed = VerifiedEndorsement::sign(entry, &by.id, now, by.keys).await.unwrap();
        signed.jwt().to_owned()
    }

    /// The entry with both endorsements and cards.
    async fn endorsed(&self, entry: &Entry) -> Deposit {
        let (patient, hospital) = (&self.patient, &self.hospital);
        Deposit {
            endorsements: [self.endorse(entry, patient).await, self.endorse(entry, hospital).await],
            cards: [patient.card.jwt().to_owned(), hospital.card.jwt().to_owned()],
        }
    }

    async fn seal(&self, from: &Person, deposits: Vec<Deposit>) -> String {
        self.seal_body(from, serde_json::to_value(DepositBody { deposits }).unwrap()).await
    }

    async fn seal_body(&self, from: &Person, body: serde_json::Value) -> String {
        self.seal_as(from, MessageType::Deposit, body).await.unwrap()
    }

    async fn seal_as(
        &self,
        from: &Person,
        kind: MessageType,
        body: serde_json::Value,
    ) -> Result<String, Error> {
        let notary = self.notary.member().standing().card.clone();
        let letter = Letter { from: &from.card, to: &notary, case: &self.id, kind, body };
        let clock = NodeClock::new(self.net.clock.clone());
        let sealed =
            envelope::seal(letter, from.keys, &AwsPrimitives, &clock, &SystemRandomness).await;
        sealed.map(|(_, envelope)| envelope)
    }

    async fn send(&self, envelope: String) -> Result<Vec<DepositAnswer>, Error> {
        let endpoint = format!("http://{}", self.notary.address());
        Ok(self.net.client.deposit(&endpoint, envelope).await?.answers)
    }

    /// Deposits as `from`, one answer for each.
    async fn deposit(&self, from: &Person, deposits: Vec<Deposit>) -> Vec<DepositAnswer> {
        let envelope = self.seal(from, deposits).await;
        self.send(envelope).await.unwrap()
    }

    /// The place in the log that a receipt names, once it is seen to be one for `entry`.
    async fn place(&self, answer: &DepositAnswer, entry: &Entry) -> u64 {
        let DepositAnswer::Receipt(jwt) = answer else { panic!("{answer:?}") };
        let card = self.notary.member().standing().card.clone();
        let receipt = VerifiedReceipt::verify(jwt, &card, &AwsPrimitives).await.unwrap();
        receipt.expect(entry).unwrap();
        receipt.receipt().index
    }
}

fn refused(error: Error) -> DepositAnswer {
    DepositAnswer::Refused(error.code().into())
}

#[tokio::test]
async fn an_entry_is_logged_once_and_every_repetition_gets_the_same_receipt() {
    let case = Case::begin().await;
    let entry = case.entry(None, "request");
    let deposit = case.endorsed(&entry).await;
    let envelope = case.seal(&case.hospital, vec![deposit.clone()]).await;
    let first = case.send(envelope.clone()).await.unwrap();
    assert_eq!(case.place(&first[0], &entry).await, 0);
    assert_eq!(case.send(envelope).await.unwrap(), first, "the same envelope");
    let twice = vec![deposit.clone(), deposit];
    let again = case.deposit(&case.patient, twice).await;
    assert_eq!(again, [first[0].clone(), first[0].clone()], "the other participant");
    // Endorsed anew: another signature over the same entry.
    let anew = case.endorsed(&entry).await;
    assert_eq!(case.deposit(&case.patient, vec![anew]).await, first);
}

#[tokio::test]
async fn a_chain_in_one_envelope_is_logged_in_its_order() {
    let case = Case::begin().await;
    let first = case.entry(None, "1");
    let second = case.entry(Some(&first.id), "2");
    let third = case.entry(Some(&second.id), "3");
    let chain = [&first, &second, &third, &second];
    let mut deposits = Vec::new();
    for entry in chain {
        deposits.push(case.endorsed(entry).await);
    }
    let answers = case.deposit(&case.patient, deposits).await;
    for (place, number) in [(0, 0), (1, 1), (2, 2), (1, 3)] {
        assert_eq!(case.place(&answers[number], chain[number]).await, place);
    }
    assert_eq!(answers[1], answers[3]);
}

#[tokio::test]
async fn a_second_and_different_entry_in_one_place_is_refused() {
    let case = Case::begin().await;
    let first = case.entry(None, "request");
    let good = case.endorsed(&first).await;
    case.deposit(&case.patient, vec![good.clone()]).await;

    let rival = case.endorsed(&case.entry(None, "another request")).await;
    let changed = Entry { verification_key: VerificationKey::of("changed"), ..first.clone() };
    let changed = case.endorsed(&changed).await;
    let next = case.entry(Some(&first.id), "result");
    let next = case.endorsed(&next).await;
    let rival_next = case.endorsed(&case.entry(Some(&first.id), "other result")).await;
    let answers = case.deposit(&case.hospital, vec![rival, changed, next, rival_next, good]).await;
    let conflict = refused(Error::EntryConflict);
    assert_eq!([&answers[0], &answers[1], &answers[3]], [&conflict; 3]);
    assert!(matches!(&answers[2], DepositAnswer::Receipt(_)));
    assert!(matches!(&answers[4], DepositAnswer::Receipt(_)));
}

#[tokio::test]
async fn of_racing_successors_exactly_one_wins() {
    let case = Case::begin().await;
    let first = case.entry(None, "request");
    let deposit = case.endorsed(&first).await;
    case.deposit(&case.patient, vec![deposit]).await;
    let mut envelopes = Vec::new();
    for n in 0..16 {
        let rival = case.endorsed(&case.entry(Some(&first.id), &n.to_string())).await;
        envelopes.push(case.seal(&case.patient, vec![rival]).await);
    }
    let racing = envelopes.into_iter().map(|envelope| case.send(envelope));
    let answers: Vec<_> = futures_util::future::join_all(racing).await;
    let won = answers
        .iter()
        .filter(|answer| matches!(&answer.as_ref().unwrap()[..], [DepositAnswer::Receipt(_)]));
    assert_eq!(won.count(), 1);
    let conflict = Ok(vec![refused(Error::EntryConflict)]);
    assert_eq!(answers.iter().filter(|answer| **answer == conflict).count(), 15);
}

#[tokio::test]
async fn an_entry_that_follows_nothing_known_is_refused() {
    let case = Case::begin().await;
    let first = case.entry(None, "request");
    let logged = case.endorsed(&first).await;
    let orphan = case.endorsed(&case.entry(Some(&entry_id()), "orphan")).await;
    let elsewhere = Entry { case: case_id(), ..case.entry(Some(&first.id), "other case") };
    let elsewhere = case.endorsed(&elsewhere).await;
    let early = case.entry(Some(&first.id), "result");
    let early = case.endorsed(&early).await;
    let deposits = vec![early.clone(), orphan, logged, elsewhere, early];
    let answers = case.deposit(&case.patient, deposits).await;
    let unknown = refused(Error::PredecessorUnknown);
    assert_eq!([&answers[0], &answers[1], &answers[3]], [&unknown; 3]);
    assert!(matches!(&answers[4], DepositAnswer::Receipt(_)), "once its predecessor is there");
}

#[tokio::test]
async fn only_participants_deposit_and_a_successor_has_the_same_ones() {
    let case = Case::begin().await;
    let stranger = case.net.person(2).await;
    let first = case.entry(None, "request");
    let deposit = case.endorsed(&first).await;
    let answers = case.deposit(&stranger, vec![deposit.clone()]).await;
    assert_eq!(answers, [refused(Error::NotParticipant)]);

    case.deposit(&case.patient, vec![deposit]).await;
    let mut hijack = case.entry(Some(&first.id), "hijacked");
    hijack.counterparty = stranger.id.clone();
    let hijack = Deposit {
        endorsements: [
            case.endorse(&hijack, &case.patient).await,
            case.endorse(&hijack, &stranger).await,
        ],
        cards: [case.patient.card.jwt().into(), stranger.card.jwt().into()],
    };
    let answers = case.deposit(&stranger, vec![hijack]).await;
    assert_eq!(answers, [refused(Error::NotParticipant)]);
}

#[tokio::test]
async fn forged_missing_and_mismatched_endorsements_are_refused_each_by_its_code() {
    let case = Case::begin().await;
    let entry = case.entry(None, "request");
    let other = case.entry(None, "other");
    let good = case.endorsed(&entry).await;
    let [by_patient, by_hospital] = good.endorsements.clone();
    let [patient, hospital] = good.cards.clone();
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

    let with = |endorsements: [&String; 2], cards: [&String; 2]| Deposit {
        endorsements: endorsements.map(Clone::clone),
        cards: cards.map(Clone::clone),
    };
    let nothing = String::new();
    let cards = [&patient, &hospital];
    let deposits = [
        (with([&by_patient, &altered], cards), Error::EndorsementForged),
        (with([&by_patient, &forged], cards), Error::EndorsementForged),
        (with([&by_patient, &by_patient], [&patient, &patient]), Error::EndorsementMissing),
        (with([&by_patient, &of_other], cards), Error::EntryMismatch),
        (with([&by_patient, &nothing], cards), Error::EntryMalformed),
        (with([&by_patient, &by_hospital], [&hospital, &patient]), Error::EndorsementForged),
        (with([&by_patient, &by_hospital], [&patient, &nothing]), Error::CardMalformed),
        (with([&by_patient, &by_hospital], [&patient, &by_hospital]), Error::CardMalformed),
    ];
    let (deposits, errors): (Vec<_>, Vec<_>) = deposits.into_iter().unzip();
    let answers = case.deposit(&case.patient, deposits).await;
    let expected: Vec<_> = errors.into_iter().map(refused).collect();
    assert_eq!(answers, expected);
    let answers = case.deposit(&case.patient, vec![good]).await;
    assert_eq!(case.place(&answers[0], &entry).await, 0, "nothing of it was logged");
}

#[tokio::test]
async fn a_revoked_participant_counts_no_longer() {
    let case = Case::begin().await;
    let deposit = case.endorsed(&case.entry(None, "request")).await;
    case.net.operator().revoke(case.hospital.id.clone()).await.unwrap();
    let revoked = Err(Error::CardRevoked);
    let known = |trust: &hdms::network::Trust| {
        trust.check_revocation(&case.hospital.id, case.net.now()) == revoked
    };
    case.net.until(known).await;
    while !known(&case.notary.member().standing().trust) {
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
    let deposit = case.endorsed(&case.entry(None, "request")).await;
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
    let header = hdms::jose::encode(r#"{"alg":"RSA1_5","enc":"A256GCM","kid":"x"}"#);
    let rest = good.split_once('.').unwrap().1;
    refused(format!("{header}.{rest}"), Error::AlgorithmRefused).await;

    let body = |json: &str| serde_json::from_str(json).unwrap();
    for json in ["{}", r#"{"deposits":[]}"#, r#"{"deposits":[{"endorsements":["a"]}]}"#, "[]"] {
        refused(case.seal_body(&case.patient, body(json)).await, Error::BodyMalformed).await;
    }
    let many = DepositBody {
        deposits: vec![
            Deposit { endorsements: Default::default(), cards: Default::default() };
            MAX_DEPOSITS + 1
        ],
    };
    let many = case.seal_body(&case.patient, serde_json::to_value(many).unwrap()).await;
    refused(many, Error::BodyMalformed).await;

    let request = case.seal_as(&case.patient, MessageType::TreatmentRequest, body("{}")).await;
    refused(request.unwrap(), Error::UnknownType).await;
    let approval = case.seal_as(&case.patient, MessageType::TreatmentApproval, body("{}")).await;
    refused(approval.unwrap(), Error::CardUnknown).await;

    case.net.clock.advance((envelope::LIFETIME + 1) * 1000);
    refused(good, Error::NetworkStale).await;
}

#[tokio::test]
async fn an_envelope_for_another_notary_is_refused() {
    let case = Case::begin().await;
    let deposit = case.endorsed(&case.entry(None, "request")).await;
    let letter = Letter {
        from: &case.patient.card,
        to: &case.hospital.card,
        case: &case.id,
        kind: MessageType::Deposit,
        body: serde_json::to_value(DepositBody { deposits: vec![deposit] }).unwrap(),
    };
    let clock = NodeClock::new(case.net.clock.clone());
    let keys = case.patient.keys;
    let (_, envelope) =
        envelope::seal(letter, keys, &AwsPrimitives, &clock, &SystemRandomness).await.unwrap();
    assert_eq!(case.send(envelope).await, Err(Error::WrongRecipientKey));
}

#[tokio::test]
async fn other_addresses_and_methods_are_refused_by_their_codes() {
    let case = Case::begin().await;
    let url = format!("http://{}", case.notary.address());
    let answer = reqwest::get(format!("{url}/deposits")).await.unwrap();
    assert_eq!(problem(answer).await, (405, "api/method".into()));
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(problem(answer).await, (404, "api/not-found".into()));
}

#[tokio::test]
async fn a_notary_starts_again_without_the_server_and_knows_what_it_logged() {
    let mut case = Case::begin().await;
    let entry = case.entry(None, "request");
    let deposit = case.endorsed(&entry).await;
    let first = case.deposit(&case.patient, vec![deposit.clone()]).await;
    let config = case.net.member_config("notary", format!("http://{}", case.notary.address()));
    case.net.stop_server().await;
    let Case { net, notary, patient, hospital, id } = case;
    let node = notary.member().id().clone();
    notary.serving().stop().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let clock = NodeClock::new(net.clock.clone());
    let stop = tokio_util::sync::CancellationToken::new();
    let notary = Notary::start(config, listener, clock, stop).await.unwrap();
    assert_eq!(notary.member().id(), &node);
    let case = Case { net, notary, patient, hospital, id };
    assert_eq!(case.deposit(&case.hospital, vec![deposit]).await, first);
    let next = case.entry(Some(&entry.id), "result");
    let deposit = case.endorsed(&next).await;
    let answers = case.deposit(&case.hospital, vec![deposit]).await;
    assert_eq!(case.place(&answers[0], &next).await, 1);
}

#[tokio::test]
async fn as_many_deposits_as_are_allowed_fit_one_envelope() {
    let case = Case::begin().await;
    let mut deposits = Vec::new();
    for _ in 0..MAX_DEPOSITS {
        let entry = Entry { case: case_id(), ..case.entry(None, "request") };
        deposits.push(case.endorsed(&entry).await);
    }
    let answers = case.deposit(&case.patient, deposits).await;
    assert!(answers.iter().all(|answer| matches!(answer, DepositAnswer::Receipt(_))));
    assert_eq!(answers.len(), MAX_DEPOSITS);
}
