//! What the tests of records share: two nodes' keys, and the FHIR data that lies beside the
//! checkout.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::SigningKeys;
use hdms::fhir::facts;
use hdms::jose::jws::{Kind, sign_ps256};
use hdms::jwk::EcJwk;
use hdms::provider::{HolderKeys, Timestamp};
use hdms::record::sdjwt::Concealer;
use hdms::record::{self, Content, Record, VerifiedRecord};
use hdms::software::{Software, SoftwareHolders, SoftwareKeys};
use hdms::testing::SeededRandomness;
use serde_json::Value;

/// When the records of these tests are issued.
pub const ISSUED: Timestamp = Timestamp(1_790_000_000_000);

/// The day that they say.
pub const DAY: Timestamp = Timestamp(1_789_948_800_000);

/// A hospital that issues, and a patient who holds.
pub struct World {
    /// The hospital's keys.
    pub keys: SoftwareKeys<SeededRandomness>,
    /// The patient's key for the case.
    pub holder: EcJwk,
    /// Where the patient keeps it.
    pub holders: SoftwareHolders<SeededRandomness>,
    /// The primitives of both.
    pub primitives: Software<SeededRandomness>,
    randomness: SeededRandomness,
}

/// The two, made once.
pub static WORLD: LazyLock<World> = LazyLock::new(|| {
    World::new(1).unwrap_or_else(|error| unreachable!("a seeded world can be made: {error}"))
});

impl World {
    /// The two that `seed` gives.
    pub fn new(seed: u64) -> Result<Self, Error> {
        let randomness = SeededRandomness::new(seed);
        let holders = SoftwareHolders::new(randomness.clone());
        Ok(Self {
            keys: SoftwareKeys::generate(2048, randomness.clone())?,
            holder: block_on(holders.make_holder_key())?,
            holders,
            primitives: Software::new(randomness.clone()),
            randomness,
        })
    }

    /// The hospital's node id.
    pub fn author(&self) -> String {
        self.keys.public().0.thumbprint()
    }

    /// The keys with which the hospital has signed.
    pub fn author_keys(&self) -> Result<SigningKeys, Error> {
        SigningKeys::first(self.keys.public().0)
    }

    /// A record over `fhir`, of patient `patient-node` in case `case-1`.
    pub fn issue(&self, fhir: &Value) -> Result<Record, Error> {
        let content = Content {
            author: &self.author(),
            patient: "patient-node",
            case: "case-1",
            holder: Some(&self.holder),
            issued: ISSUED,
            born: facts::born([fhir]),
            fhir,
        };
        block_on(record::issue(&content, &self.keys, &self.randomness))
    }

    /// What the hospital signs when its payload is this, whatever it is, with these disclosures.
    pub fn sign(
        &self,
        kind: Kind,
        payload: &Value,
        concealer: Concealer<'_, SeededRandomness>,
    ) -> Result<String, Error> {
        let jwt = block_on(sign_ps256(kind.typ, &self.author(), payload, &self.keys))?;
        Ok(concealer.compact(&jwt))
    }

    /// Checks a record of the hospital.
    pub fn verify(&self, compact: &str) -> Result<VerifiedRecord, Error> {
        block_on(record::verify(compact, &self.author_keys()?, &self.primitives))
    }
}

/// The JSON files of `../shared/data/{folder}`, by path; says so when it is not there.
pub fn sample(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(folder);
    let Ok(files) = fs::read_dir(&folder) else {
        eprintln!("NOT RUN over {}: no such folder", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    files.into_iter().filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
}
