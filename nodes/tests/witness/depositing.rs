//! What those who deposit notice of witnesses: with enough of them nothing, with too few that they
//! have to wait.

use std::time::{Duration, Instant};

use hdms::Error;
use hdms::ledger::VerifiedReceipt;
use hdms::log::TlogProof;
use hdms::log::checkpoint::{cosignature, cosigned_text};
use hdms::notary::DepositAnswer;
use hdms_nodes::base::keys::{AwsPrimitives, open_or_make_log};
use hdms_nodes::notary::Notary;
use tokio::net::TcpListener;

use crate::common::{Net, Person, Signed, deposit, passphrase, sealed};
use crate::scene::{meets, name, network, restart, start, url};

/// A patient and a hospital.
pub struct Depositors<'a> {
    net: &'a Net,
    people: [Person; 2],
}

/// What a deposit came to: a receipt, or the whole request's refusal.
pub type Outcome = Result<String, Error>;

pub fn refused(error: Error) -> Outcome {
    Err(error)
}

impl<'a> Depositors<'a> {
    pub async fn of(net: &'a Net) -> Self {
        Self { net, people: [net.person(0).await, net.hospital(1).await] }
    }

    pub async fn entry(&self, notary: &Notary) -> Signed {
        deposit(&self.people[0], &self.people[1], notary).await
    }

    pub async fn send(&self, notary: &Notary, deposit: Signed) -> Outcome {
        let card = notary.member().standing().card.clone();
        let [patient, hospital] = &self.people;
        let envelope = sealed([patient, hospital], &card, vec![deposit]).await;
        let mut answers = self.net.client.deposit(&url(notary), envelope).await?.answers;
        match answers.remove(0) {
            DepositAnswer::Receipt(receipt) => Ok(receipt),
            other => panic!("{other:?}"),
        }
    }

    /// Deposits a new entry.
    pub async fn deposit(&self, notary: &Notary) -> Outcome {
        self.send(notary, self.entry(notary).await).await
    }

    /// Deposits as many, each with a receipt that holds.
    pub async fn logged(&self, notary: &Notary, count: usize) {
        for _ in 0..count {
            let receipt = self.deposit(notary).await.unwrap();
            self.verified(&receipt).await.unwrap();
        }
    }

    pub async fn verified(&self, receipt: &str) -> Result<VerifiedReceipt, Error> {
        VerifiedReceipt::verify(receipt, &self.net.trust().await, &AwsPrimitives).await
    }
}

#[tokio::test]
async fn with_too_few_witnesses_depositors_wait_and_lose_nothing() {
    let (net, mut notaries) = network(1, 2).await;
    let people = Depositors::of(&net).await;
    let (witness, notary) = (notaries.pop().unwrap(), notaries.pop().unwrap());
    let first = people.deposit(&notary).await.unwrap();
    let first = people.verified(&first).await.unwrap();
    assert_eq!(first.witnesses(), [witness.member().id().clone()]);

    let (address, name) = (witness.address(), name(&witness));
    witness.serving().stop().await;
    let waiting = [people.entry(&notary).await, people.entry(&notary).await];
    for deposit in waiting.iter().chain(&waiting) {
        let outcome = people.send(&notary, deposit.clone()).await;
        assert_eq!(outcome, refused(Error::WitnessesMissing));
    }
    assert!(Error::WitnessesMissing.is_transient());
    // Not even when the notary starts again meanwhile.
    let notary = restart(&net, notary, |_| ()).await;
    let outcome = people.send(&notary, waiting[0].clone()).await;
    assert_eq!(outcome, refused(Error::WitnessesMissing));

    start(&net, &name, TcpListener::bind(address).await.unwrap()).await.unwrap();
    for (deposit, index) in waiting.into_iter().zip(1..) {
        let receipt = people.send(&notary, deposit.clone()).await.unwrap();
        let verified = people.verified(&receipt).await.unwrap();
        assert_eq!((verified.receipt().index, verified.witnesses().len()), (index, 1));
        assert_eq!(people.send(&notary, deposit).await.unwrap(), receipt);
    }
}

#[tokio::test]
async fn one_of_two_witnesses_that_is_silent_or_gone_costs_nothing() {
    let (net, mut notaries) = network(1, 3).await;
    let people = Depositors::of(&net).await;
    let (gone, notary) = (notaries.pop().unwrap(), notaries.remove(0));
    people.logged(&notary, 1).await;
    let address = gone.address();
    gone.serving().stop().await;
    for listener in [Some(TcpListener::bind(address).await.unwrap()), None] {
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let deposit = people.entry(&notary).await;
            let begin = Instant::now();
            let receipt = people.send(&notary, deposit).await.unwrap();
            slowest = slowest.max(begin.elapsed());
            let verified = people.verified(&receipt).await.unwrap();
            assert_eq!(verified.witnesses(), [notaries[0].member().id().clone()]);
        }
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        drop(listener);
    }
}

#[tokio::test]
async fn a_former_notary_is_no_witness_any_more() {
    let (net, mut notaries) = network(1, 2).await;
    let people = Depositors::of(&net).await;
    let (witness, notary) = (notaries.pop().unwrap(), notaries.pop().unwrap());
    let before = people.deposit(&notary).await.unwrap();
    net.clock.advance(5000);
    net.operator().revoke(witness.member().id().clone(), "It is a test.").await.unwrap();
    meets(&notary, 1).await;
    assert_eq!(people.deposit(&notary).await, refused(Error::WitnessesMissing));
    // What it co-signed in its time counts on, and nothing that it co-signs later.
    let verified = people.verified(&before).await.unwrap();
    assert_eq!(verified.witnesses(), [witness.member().id().clone()]);
    let trust = net.trust().await;
    let log = trust.log(witness.member().id()).unwrap();
    let keys = open_or_make_log(&net.dir.path().join(name(&witness)), &passphrase()).unwrap();
    for (time, counts) in [(log.until.unwrap() - 1, true), (log.until.unwrap(), false)] {
        let mut proof = TlogProof::parse(&before).unwrap();
        let text = cosigned_text(&proof.checkpoint.note().text, time);
        let signature = keys.sign_as_witness(text.as_bytes()).unwrap();
        proof.checkpoint.add(cosignature(&log.witness_key(), time, signature));
        assert_eq!(people.verified(&proof.to_text()).await.is_ok(), counts);
    }
}
