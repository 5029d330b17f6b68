//! A notary's log whose every part a test can choose.

use hdms::Error;
use hdms::ids::NodeId;
use hdms::ledger::{
    CaseSecret, Commitment, Entry, EntryKind, LeafOpening, Place, Salt, VerificationKey,
    VerifiedReceipt,
};
use hdms::log::SignedCheckpoint;
use hdms::network::Trust;
use hdms_simulation::log::{Log, LogSigner};
use hdms_simulation::{BEGIN, World};

use crate::{case, id};

/// The network of a test, and a log of three entries between its patient and its hospital.
pub struct Logbook {
    pub world: World,
    pub entries: Vec<Entry>,
    pub notary: LogSigner,
    pub witnesses: Vec<LogSigner>,
    /// Of the case.
    pub secret: CaseSecret,
}

/// Of the case, unless a test chooses another.
pub const SECRET: CaseSecret = CaseSecret([7; 32]);

/// Who co-signs, and when, seconds.
pub type Cosigners<'a> = &'a [(&'a LogSigner, u64)];

impl Logbook {
    pub async fn new() -> Self {
        let world = World::new(1).await.unwrap();
        let notary = LogSigner::of(world.notary.card().id()).unwrap();
        let witnesses = world.operator.witnesses().unwrap();
        let entry = |number: u32| Entry {
            id: id(10 + number),
            kind: EntryKind::Result,
            case: case(),
            author: world.hospital.id().clone(),
            counterparty: world.patient.id().clone(),
            verification_key: VerificationKey::of(&format!("document {number}")),
            previous: None,
            case_secret: None,
            draw: None,
        };
        let request = Entry {
            kind: EntryKind::Request,
            author: world.patient.id().clone(),
            counterparty: world.hospital.id().clone(),
            case_secret: Some(Commitment::to_secret(SECRET)),
            draw: Some(world.draw().unwrap()),
            ..entry(0)
        };
        Self {
            entries: vec![request, entry(1), entry(2)],
            world,
            notary,
            witnesses,
            secret: SECRET,
        }
    }

    pub fn notary_id(&self) -> &NodeId {
        &self.notary.listed().notary
    }

    pub fn opening(&self, number: usize, time: u64) -> LeafOpening {
        let salts = [Salt([2 * number as u8; 16]), Salt([2 * number as u8 + 1; 16])];
        let place = Place::Numbered(self.secret, number as u64 + 1);
        LeafOpening::of(&self.entries[number], salts, place, time)
    }

    /// The receipt of the entry of this number in a log whose entries were all logged at `time`.
    pub fn receipt(&self, number: usize, time: u64, cosigners: Cosigners) -> String {
        let (log, checkpoint) = self.log(time, cosigners);
        self.opening(number, time).receipt(log.prove(number, checkpoint)).unwrap()
    }

    /// The log and its checkpoint.
    pub fn log(&self, time: u64, cosigners: Cosigners) -> (Log, SignedCheckpoint) {
        let mut log = Log::default();
        for number in 0..self.entries.len() {
            log.append(self.opening(number, time).leaf().to_bytes());
        }
        let mut checkpoint = self.notary.sign(log.checkpoint(self.notary_id()));
        for (cosigner, at) in cosigners {
            checkpoint.add(cosigner.cosign(&checkpoint, *at));
        }
        (log, checkpoint)
    }

    /// A receipt as good as any, of the second entry.
    pub fn good(&self) -> String {
        let [first, second] = &self.witnesses[..] else { panic!("two witnesses") };
        let now = BEGIN.seconds();
        self.receipt(1, now, &[(first, now), (second, now)])
    }

    /// What all trust once the network's documents have changed.
    pub async fn publish(&mut self) -> Trust {
        self.world.publish().await.unwrap();
        self.trust()
    }

    pub fn trust(&self) -> Trust {
        (*self.world.patient.trust()).clone()
    }

    pub async fn verify(&self, text: &str) -> Result<VerifiedReceipt, Error> {
        VerifiedReceipt::verify(text, &self.trust(), &self.world.software()).await
    }
}
