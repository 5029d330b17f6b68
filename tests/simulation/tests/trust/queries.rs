//! Who was given an entry asks its notary for its verification key; who guesses learns nothing.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::MessageType;
use hdms::ids::{CaseId, NodeId};
use hdms::jose::jwe;
use hdms::ledger::Salt;
use hdms::node::Platform;
use hdms::notary::{AnswerBody, MAX_QUERIED, Queried};
use hdms_simulation::World;
use serde_json::{Value, json};

use crate::{approved, case, id, seal};

/// A network with a logged entry, and what one who was given it asks with.
struct Asker {
    world: World,
    notary: NodeId,
    given: Queried,
}

impl Asker {
    async fn new() -> Self {
        let world = approved(1).await;
        let opening = &world.notary.log()[0].opening;
        let given = Queried { entry: opening.entry.clone(), salt: opening.salt };
        Self { notary: world.notary.card().id().clone(), world, given }
    }

    /// The notary's answer to the patient.
    async fn answer(&self, case: &CaseId, entries: &[Queried]) -> Result<String, Error> {
        let query = self.world.patient.query(&self.notary, case, entries.to_vec()).await?;
        self.world.notary.query(&query).await
    }

    async fn told(&self, entries: &[Queried], answer: &str) -> Result<Vec<bool>, Error> {
        let bytes = answer.as_bytes();
        let told = self.world.patient.queried(&self.notary, &case(), entries, bytes).await?;
        Ok(told.iter().map(Option::is_some).collect())
    }

    /// What the notary would answer with this body in the case of all these tests.
    async fn sealed(&self, receipts: Vec<Option<String>>) -> String {
        let body = serde_json::to_value(AnswerBody { receipts }).unwrap();
        self.world.notary.seal(&self.world.patient.card(), &case(), body).await.unwrap()
    }
}

#[test]
fn who_was_given_an_entry_gets_its_proven_verification_key() {
    block_on(async {
        let asker = Asker::new().await;
        let asked = [asker.given.clone()];
        let answer = asker.answer(&case(), &asked).await.unwrap();
        let patient = &asker.world.patient;
        let told = patient.queried(&asker.notary, &case(), &asked, answer.as_bytes()).await;
        let [Some(receipt)] = &told.unwrap()[..] else { panic!("one receipt") };
        let logged = &asker.world.notary.log()[0].entry;
        assert_eq!(receipt.receipt().verification_key, logged.verification_key);
        assert_eq!(receipt.opening().parties_salt, None, "not whose it is");
    });
}

#[test]
fn a_guessed_entry_and_a_wrong_salt_are_answered_alike() {
    block_on(async {
        let asker = Asker::new().await;
        let guessed = Queried { entry: id(77), ..asker.given.clone() };
        let mut salt = asker.given.salt;
        salt.0[15] ^= 1;
        let wrong_salt = Queried { salt, ..asker.given.clone() };
        let parties = asker.world.notary.log()[0].opening.parties_salt.unwrap();
        let others_salt = Queried { salt: parties, ..asker.given.clone() };
        let mut answers = Vec::new();
        for asked in [guessed, wrong_salt, others_salt] {
            let asked = [asked];
            let answer = asker.answer(&case(), &asked).await.unwrap();
            assert_eq!(asker.told(&asked, &answer).await, Ok(vec![false]));
            let sealed = jwe::CompactJwe::parse(&answer).unwrap();
            let (platform, software) = (asker.world.patient.platform(), asker.world.software());
            let signed = sealed.decrypt(platform.keys(), &software).await.unwrap();
            let payload = signed.split(|byte| *byte == b'.').nth(1).unwrap();
            let claims: Value =
                serde_json::from_slice(&hdms::base64url::decode(payload).unwrap()).unwrap();
            answers.push((answer.len(), claims["body"].clone()));
        }
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
        assert_eq!(answers[0].1, json!({"receipts": [null]}));
    });
}

#[test]
fn an_answer_to_another_query_is_refused() {
    block_on(async {
        let asker = Asker::new().await;
        let asked = [asker.given.clone()];
        let elsewhere = asker.answer(&id(2), &asked).await.unwrap();
        assert_eq!(asker.told(&asked, &elsewhere).await, Err(Error::BodyMalformed));
        let good = asker.answer(&case(), &asked).await.unwrap();
        let twice = [asker.given.clone(), asker.given.clone()];
        assert_eq!(asker.told(&twice, &good).await, Err(Error::BodyMalformed));
        let other = [Queried { entry: id(77), ..asker.given.clone() }];
        assert_eq!(asker.told(&other, &good).await, Err(Error::EntryMismatch));
        let forged = asker.sealed(vec![Some("a receipt".into())]).await;
        assert_eq!(asker.told(&asked, &forged).await, Err(Error::ReceiptForged));
        let Asker { world, .. } = &asker;
        let (patient, hospital) = (world.patient.card(), world.hospital.id());
        let bytes = good.as_bytes();
        let of_another = world.patient.queried(hospital, &case(), &asked, bytes).await;
        assert_eq!(of_another.err(), Some(Error::BodyMalformed), "not who was asked");
        let body = json!({"receipts": [null]});
        let by_another = seal(&world.hospital, &patient, MessageType::Answer, body).await;
        assert_eq!(asker.told(&asked, &by_another).await, Err(Error::TypeNotForRole));
    });
}

#[test]
fn a_query_about_nothing_or_too_much_is_refused() {
    block_on(async {
        let asker = Asker::new().await;
        let salt = Salt([0; 16]);
        for entries in [Vec::new(), vec![Queried { entry: id(77), salt }; MAX_QUERIED + 1]] {
            let answer = asker.answer(&case(), &entries).await;
            assert_eq!(answer.err(), Some(Error::BodyMalformed));
        }
        let most = vec![Queried { entry: id(77), salt }; MAX_QUERIED];
        let answer = asker.answer(&case(), &most).await.unwrap();
        assert_eq!(asker.told(&most, &answer).await, Ok(vec![false; MAX_QUERIED]));
    });
}
