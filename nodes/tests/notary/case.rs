//! A patient, a hospital and a notary with an entry or more between them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::CaseId;
use hdms::jose::jws::sign_ps256;
use hdms::ledger::{
    CaseSecret, Commitment, Conflict, Draw, Drawn, Entry, EntryKind, VerificationKey,
    VerifiedEndorsement, VerifiedReceipt,
};
use hdms::network::Trust;
use hdms::notary::{Deposit, DepositAnswer};
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_nodes::base::system::{NodeClock, SystemRandomness};
use hdms_nodes::notary::Notary;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, Person, SECRET, Signed, body, case_id, entry_id, trust_of};

pub struct Case {
    pub net: Net,
    notary: Option<Notary>,
    address: SocketAddr,
    pub patient: Person,
    pub hospital: Person,
    pub id: CaseId,
    /// None in a case of version 1.
    pub secret: Option<CaseSecret>,
    pub trust: Trust,
    /// Of every case: there is one notary.
    pub draw: Draw,
}

impl Case {
    pub async fn begin() -> Self {
        let net = Net::start().await;
        let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
        let notary = net.notary("notary").await;
        Self::of(net, notary, [patient, hospital], case_id(), Some(SECRET)).await
    }

    pub async fn of(
        net: Net,
        notary: Notary,
        [patient, hospital]: [Person; 2],
        id: CaseId,
        secret: Option<CaseSecret>,
    ) -> Self {
        let trust = net.until(|trust| trust.log(notary.member().id()).is_ok()).await;
        let (address, known) = (notary.address(), trust_of(&notary).await);
        let (number, manifest) = (known.manifest().number, &known.documents().manifest);
        let key = hospital.card.card().signing_key.thumbprint();
        let draw = Draw::new(number, manifest, key, &SystemRandomness).unwrap();
        Self { net, notary: Some(notary), address, patient, hospital, id, secret, trust, draw }
    }

    /// The notary, which runs.
    pub fn notary(&self) -> &Notary {
        self.notary.as_ref().unwrap()
    }

    /// This case's first entry.
    pub fn request(&self, content: &str) -> Entry {
        Entry {
            id: entry_id(),
            kind: EntryKind::Request,
            case: self.id.clone(),
            author: self.patient.id.clone(),
            counterparty: self.hospital.id.clone(),
            verification_key: VerificationKey::of(content),
            previous: None,
            case_secret: Some(Commitment::to_secret(SECRET)),
            draw: Some(self.draw.clone()),
        }
    }

    /// Another entry of this case.
    pub fn result(&self, content: &str) -> Entry {
        Entry {
            kind: EntryKind::Result,
            author: self.hospital.id.clone(),
            counterparty: self.patient.id.clone(),
            case_secret: None,
            draw: None,
            ..self.request(content)
        }
    }

    /// The first entry of another case.
    pub fn elsewhere(&self) -> Entry {
        Entry { case: case_id(), ..self.request("request") }
    }

    pub async fn endorse(&self, entry: &Entry, by: &Person) -> String {
        let now = self.net.now();
        if entry.is_former() {
            let claims = json!({"iss": by.id, "iat": now.seconds(), "entry": entry});
            let signed = sign_ps256("hdms-endorsement+jwt", by.id.as_ref(), &claims, by.keys);
            return signed.await.unwrap();
        }
        let entry = std::slice::from_ref(entry);
        let signed = VerifiedEndorsement::sign(entry, &by.id, now, by.keys).await.unwrap();
        signed.jwt().to_owned()
    }

    /// The entry with both endorsements.
    pub async fn endorsed(&self, entry: &Entry) -> Signed {
        let (patient, hospital) = (&self.patient, &self.hospital);
        let endorsements =
            vec![self.endorse(entry, patient).await, self.endorse(entry, hospital).await];
        let (case_secret, draw) = (entry.case_secret.map(|_| SECRET), self.drawn(entry).await);
        Signed { endorsements, deposit: Deposit { entry: entry.id.clone(), case_secret, draw } }
    }

    /// The hospital's part of the entry's draw, if it has one.
    pub async fn drawn(&self, entry: &Entry) -> Option<Drawn> {
        let drawn = Drawn::sign(entry, self.hospital.keys).await;
        drawn.ok().filter(|_| entry.draw.is_some())
    }

    pub fn cards(&self) -> Vec<String> {
        [&self.patient, &self.hospital].map(|one| one.card.jwt().to_owned()).into()
    }

    pub async fn seal(&self, from: &Person, deposits: Vec<Signed>) -> String {
        self.seal_with(from, self.cards(), deposits).await
    }

    pub async fn seal_with(
        &self,
        from: &Person,
        cards: Vec<String>,
        deposits: Vec<Signed>,
    ) -> String {
        self.seal_body(from, body(cards, deposits)).await
    }

    pub async fn seal_body(&self, from: &Person, body: serde_json::Value) -> String {
        self.seal_as(from, MessageType::Deposit, body).await.unwrap()
    }

    pub async fn seal_as(
        &self,
        from: &Person,
        kind: MessageType,
        body: serde_json::Value,
    ) -> Result<String, Error> {
        let notary = self.notary().member().standing().card.clone();
        let message = Message { from: &from.card, to: &notary, case: &self.id, kind, body };
        let clock = NodeClock::new(self.net.clock.clone());
        let sealed =
            envelope::seal(message, from.keys, &AwsPrimitives, &clock, &SystemRandomness).await;
        sealed.map(|(_, envelope)| envelope)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn send(&self, envelope: String) -> Result<Vec<DepositAnswer>, Error> {
        Ok(self.net.client.deposit(&self.url(""), envelope).await?.answers)
    }

    /// Deposits as `from`, one answer for each.
    pub async fn deposit(&self, from: &Person, deposits: Vec<Signed>) -> Vec<DepositAnswer> {
        let envelope = self.seal(from, deposits).await;
        self.send(envelope).await.unwrap()
    }

    /// Has new entries of other cases logged, in one envelope.
    pub async fn grow(&self, count: usize) {
        let mut deposits = Vec::new();
        for _ in 0..count {
            deposits.push(self.endorsed(&self.elsewhere()).await);
        }
        let answers = self.deposit(&self.patient, deposits).await;
        assert!(answers.iter().all(|answer| matches!(answer, DepositAnswer::Receipt(_))));
    }

    /// The checked receipt in an answer.
    pub async fn receipt(&self, answer: &DepositAnswer) -> VerifiedReceipt {
        let DepositAnswer::Receipt(text) = answer else { panic!("{answer:?}") };
        VerifiedReceipt::verify(text, &self.trust, &AwsPrimitives).await.unwrap()
    }

    /// The place in the log that a receipt proves, once it is seen to be one for `entry`.
    pub async fn place(&self, answer: &DepositAnswer, entry: &Entry) -> u64 {
        let receipt = self.receipt(answer).await;
        receipt.expect(entry, self.secret).unwrap();
        receipt.receipt().index
    }

    /// The entry that was logged under the id of `entry`, as the notary signs and proves.
    pub async fn first(&self, answer: &DepositAnswer, entry: &Entry) -> Entry {
        let DepositAnswer::Conflict(jwt) = answer else { panic!("{answer:?}") };
        let (card, trust) = (self.notary().member().standing().card.clone(), &self.trust);
        Conflict::verify(jwt, entry, &card, trust, &AwsPrimitives).await.unwrap().entry
    }

    /// Stops the notary if it runs, lets `meanwhile` have its database, and starts it again.
    pub async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) -> Result<(), Error> {
        if let Some(notary) = self.notary.take() {
            notary.serving().stop().await;
        }
        let database = self.net.dir.path().join("notary/notary.sqlite");
        // What kept the member up to date ends a moment later, and has the database until then.
        let lock = std::fs::File::create(database.with_extension("sqlite.lock")).unwrap();
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(lock);
        meanwhile(&database);
        let config = self.net.member_config("notary", format!("http://{}", self.address));
        // So does the listener of one that did not start.
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let clock = NodeClock::new(self.net.clock.clone());
        let notary = Notary::start(config, listener, clock, CancellationToken::new()).await?;
        self.notary = Some(notary);
        Ok(())
    }
}

pub fn refused(error: Error) -> DepositAnswer {
    DepositAnswer::Refused(error.code().into())
}
