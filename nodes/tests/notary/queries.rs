//! Sealed queries (the papers' steps 13 to 15 of trading).

use hdms::Error;
use hdms::envelope::{MessageType, Opening, Sealed};
use hdms::ids::EntryId;
use hdms::ledger::{Salt, VerifiedReceipt};
use hdms::notary::{AnswerBody, MAX_QUERIED, Queried, QueryBody};
use hdms_nodes::base::keys::AwsPrimitives;

use crate::case::Case;
use crate::common::{Person, entry_id, problem};

async fn ask(case: &Case, by: &Person, entries: Vec<Queried>) -> reqwest::Response {
    let body = serde_json::to_value(QueryBody { entries }).unwrap();
    let envelope = case.seal_as(by, MessageType::Query, body).await.unwrap();
    send(case, envelope).await
}

async fn send(case: &Case, envelope: String) -> reqwest::Response {
    let request = reqwest::Client::new().post(case.url("/queries")).body(envelope);
    request.send().await.unwrap()
}

/// What the sealed answer says.
async fn opened(case: &Case, by: &Person, answer: reqwest::Response) -> AnswerBody {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/jose");
    let envelope = answer.bytes().await.unwrap();
    let sealed = Sealed::parse(&envelope).unwrap();
    let decrypted = sealed.decrypt(by.keys, &AwsPrimitives).await.unwrap();
    let opening = Opening { me: &by.card, trust: &case.trust, received: case.net.now() };
    let opened = decrypted.verify(None, opening, &AwsPrimitives).await.unwrap();
    assert_eq!((opened.kind(), opened.case()), (MessageType::Answer, &case.id));
    assert_eq!(opened.sender().id(), case.notary().member().id());
    opened.body().unwrap()
}

fn about(entry: &EntryId, salt: Salt) -> Queried {
    Queried { entry: entry.clone(), salt }
}

#[tokio::test]
async fn who_was_given_an_entry_gets_its_proof_and_learns_nothing_of_its_parties() {
    let case = Case::begin().await;
    let entries = [case.request("request"), case.elsewhere()];
    let mut asked = Vec::new();
    for entry in &entries {
        let deposit = case.endorsed(entry).await;
        let answers = case.deposit(&case.patient, vec![deposit]).await;
        let receipt = case.receipt(&answers[0]).await;
        asked.push(about(&entry.id, receipt.opening().salt));
    }
    case.grow(1).await;
    let buyer = case.net.person(2).await;
    let answer = ask(&case, &buyer, asked).await;
    let AnswerBody { receipts } = opened(&case, &buyer, answer).await;
    for (place, (receipt, entry)) in receipts.iter().zip(&entries).enumerate() {
        let text = receipt.as_ref().unwrap();
        let receipt = VerifiedReceipt::verify(text, &case.trust, &AwsPrimitives).await.unwrap();
        assert_eq!(receipt.receipt().index, place as u64);
        assert_eq!(receipt.receipt().verification_key, entry.verification_key);
        assert_eq!(receipt.opening().parties_salt, None);
        assert_eq!(
            receipt.expect(entry, case.secret),
            Err(Error::EntryMismatch),
            "the parties stay closed"
        );
    }
}

#[tokio::test]
async fn guessing_yields_nothing() {
    let case = Case::begin().await;
    let entry = case.request("request");
    let deposit = case.endorsed(&entry).await;
    case.deposit(&case.patient, vec![deposit]).await;
    let salt = Salt([7; 16]);
    let mut answers = Vec::new();
    for id in [&entry.id, &entry_id()] {
        let answer = ask(&case, &case.patient, vec![about(id, salt)]).await;
        let length = answer.content_length();
        answers.push((length, opened(&case, &case.patient, answer).await.receipts));
    }
    assert_eq!(answers[0].1, [None]);
    assert_eq!(answers[0], answers[1], "a wrong salt and an unknown entry");
}

#[tokio::test]
async fn queries_have_their_form_and_come_from_members() {
    let case = Case::begin().await;
    let one = about(&entry_id(), Salt([7; 16]));
    for entries in [vec![], vec![one.clone(); MAX_QUERIED + 1]] {
        let answer = ask(&case, &case.patient, entries).await;
        assert_eq!(problem(answer).await, (400, "envelope/body".into()));
    }
    let deposit = case.seal_body(&case.patient, serde_json::json!({})).await;
    assert_eq!(problem(send(&case, deposit).await).await.1, Error::UnknownType.code());
    assert_eq!(problem(send(&case, "x".into()).await).await.1, Error::EnvelopeMalformed.code());
    let many = ask(&case, &case.patient, vec![one; MAX_QUERIED]).await;
    assert_eq!(opened(&case, &case.patient, many).await.receipts, vec![None; MAX_QUERIED]);
}
