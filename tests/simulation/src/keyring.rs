//! The private keys of simulated nodes.

use std::cell::RefCell;
use std::rc::Rc;

use hdms::Error;
use hdms::provider::NodeKeys;
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;

/// Keys that nobody else may use: they are public.
const KEYS: &str = include_str!("../vectors/keys.json");

/// The fixed keys of a name in `vectors/keys.json`.
pub fn keys(
    name: &str,
    randomness: SeededRandomness,
) -> Result<SoftwareKeys<SeededRandomness>, Error> {
    let all: serde_json::Value = serde_json::from_str(KEYS).map_err(|_| Error::KeyMalformed)?;
    let text = |part: &str| all[name][part].to_string();
    SoftwareKeys::from_private_jwks(&text("signing"), &text("encryption"), randomness)
}

/// A node's private keys: the present ones sign, the former ones decrypt as well.
pub struct Keyring {
    present: RefCell<Rc<SoftwareKeys<SeededRandomness>>>,
    former: RefCell<Vec<Rc<SoftwareKeys<SeededRandomness>>>>,
}

impl Keyring {
    /// With a node's first keys.
    pub fn new(keys: SoftwareKeys<SeededRandomness>) -> Self {
        Self { present: RefCell::new(Rc::new(keys)), former: RefCell::default() }
    }

    /// The present keys.
    pub fn present(&self) -> Rc<SoftwareKeys<SeededRandomness>> {
        self.present.borrow().clone()
    }

    /// Changes to these keys.
    pub fn change(&self, keys: SoftwareKeys<SeededRandomness>) {
        self.former.borrow_mut().push(self.present.replace(Rc::new(keys)));
    }
}

impl NodeKeys for Keyring {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.present().sign_ps256(message).await
    }

    async fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.present().sign_pkcs1(message).await
    }

    async fn decrypt_oaep(&self, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        let former = self.former.borrow().clone();
        let mut outcome = self.present().decrypt_oaep(ciphertext).await;
        for keys in former.iter().rev() {
            if outcome.is_err() {
                outcome = keys.decrypt_oaep(ciphertext).await;
            }
        }
        outcome
    }
}
