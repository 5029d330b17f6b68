//! A notary in memory, around the core's decisions.

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::envelope::{Opening, Sealed};
use hdms::ledger::Receipt;
use hdms::network::Trust;
use hdms::notary::{self, Decision, DepositAnswer, DepositAnswers, Logged, Place};
use hdms::provider::Clock;
use hdms::software::{Software, SoftwareKeys};
use hdms::testing::SeededRandomness;

use crate::Providers;

/// Logs entries in memory.
pub struct Notary {
    keys: SoftwareKeys<SeededRandomness>,
    card: VerifiedCard,
    trust: Trust,
    providers: Providers,
    primitives: Software<SeededRandomness>,
    log: Vec<Logged>,
    answered: Vec<(String, DepositAnswers)>,
}

impl Notary {
    /// With an empty log.
    pub fn new(
        keys: SoftwareKeys<SeededRandomness>,
        card: VerifiedCard,
        trust: Trust,
        providers: &Providers,
    ) -> Self {
        let primitives = Software::new(providers.randomness.clone());
        Self {
            keys,
            card,
            trust,
            providers: providers.clone(),
            primitives,
            log: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Trusts other documents from now on.
    pub fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Everything logged, in order.
    pub fn log(&self) -> &[Logged] {
        &self.log
    }

    /// Its private keys.
    pub fn keys(&self) -> &SoftwareKeys<SeededRandomness> {
        &self.keys
    }

    /// Every envelope that it took and what it answered, in order.
    pub fn answered(&self) -> &[(String, DepositAnswers)] {
        &self.answered
    }

    /// Answers an envelope with deposits.
    pub async fn receive(&mut self, envelope: &str) -> Result<DepositAnswers, Error> {
        let now = self.providers.clock.now();
        let opening = Opening { me: &self.card, trust: &self.trust, received: now };
        let sealed = Sealed::parse(envelope.as_bytes(), &self.card)?;
        let decrypted = sealed.decrypt(&self.keys, &self.primitives).await?;
        let opened = decrypted.verify(None, opening, &self.primitives).await?;
        let mut answers = Vec::new();
        for deposit in notary::deposits(&opened)? {
            let answer = match self.deposit(&deposit, &opened).await {
                Ok(receipt) => DepositAnswer::Receipt(receipt),
                Err(error) => DepositAnswer::Refused(error.code().to_owned()),
            };
            answers.push(answer);
        }
        let answers = DepositAnswers { answers };
        self.answered.push((envelope.to_owned(), answers.clone()));
        Ok(answers)
    }

    async fn deposit(
        &mut self,
        deposit: &notary::Deposit,
        opened: &hdms::envelope::Opened,
    ) -> Result<String, Error> {
        let now = self.providers.clock.now();
        let depositor = opened.sender().id();
        let endorsed =
            notary::check(deposit, depositor, &self.trust, now, &self.primitives).await?;
        let entry = endorsed.entry();
        let find = |test: &dyn Fn(&Logged) -> bool| self.log.iter().find(|l| test(l)).cloned();
        let place = Place {
            same: find(&|logged| logged.entry.id == entry.id),
            predecessor: find(&|logged| Some(&logged.entry.id) == entry.previous.as_ref()),
            occupant: find(&|logged| {
                logged.entry.case == entry.case && logged.entry.previous == entry.previous
            })
            .map(|logged| logged.entry.id),
        };
        if let Decision::Repeat(receipt) = notary::decide(entry, &place)? {
            return Ok(receipt);
        }
        let receipt = Receipt {
            iss: self.card.id().clone(),
            iat: now.seconds(),
            entry: entry.id.clone(),
            verification_key: entry.verification_key.clone(),
            index: self.log.len() as u64,
        };
        let receipt = receipt.sign(&self.keys).await?;
        self.log.push(Logged { entry: entry.clone(), receipt: receipt.clone() });
        Ok(receipt)
    }
}
