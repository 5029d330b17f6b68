//! The private keys of simulated nodes.

use std::cell::{Cell, RefCell};
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
    let [signing, encryption, request] = ["signing", "encryption", "request"].map(text);
    SoftwareKeys::from_private_jwks(&signing, &encryption, &request, randomness)
}

/// A node's private keys: those that sign, and all that decrypt, the newest first.
pub struct Keyring {
    present: RefCell<Rc<SoftwareKeys<SeededRandomness>>>,
    decrypting: RefCell<Vec<Rc<SoftwareKeys<SeededRandomness>>>>,
    uses: Cell<usize>,
}

impl Keyring {
    /// With a node's first keys.
    pub fn new(keys: SoftwareKeys<SeededRandomness>) -> Self {
        let keys = Rc::new(keys);
        let (present, uses) = (RefCell::new(keys.clone()), Cell::default());
        Self { present, decrypting: RefCell::new(vec![keys]), uses }
    }

    /// How often a private key was used so far.
    pub fn uses(&self) -> usize {
        self.uses.get()
    }

    /// The keys that sign.
    pub fn present(&self) -> Rc<SoftwareKeys<SeededRandomness>> {
        self.present.borrow().clone()
    }

    /// Changes to these keys.
    pub fn change(&self, keys: SoftwareKeys<SeededRandomness>) {
        let keys = Rc::new(keys);
        self.present.replace(keys.clone());
        self.decrypting.borrow_mut().insert(0, keys);
    }

    /// Decrypts with these too, and signs as before.
    pub fn renew(&self, keys: SoftwareKeys<SeededRandomness>) {
        self.decrypting.borrow_mut().insert(0, Rc::new(keys));
    }

    /// Deletes all but the newest of those that decrypt.
    pub fn forget_former(&self) {
        self.decrypting.borrow_mut().truncate(1);
    }
}

impl NodeKeys for Keyring {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.uses.update(|uses| uses + 1);
        self.present().sign_ps256(message).await
    }

    async fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.uses.update(|uses| uses + 1);
        self.present().sign_pkcs1(message).await
    }

    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.present().sign_request(message).await
    }

    async fn decrypt_oaep(&self, kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        self.uses.update(|uses| uses + 1);
        let decrypting = self.decrypting.borrow().clone();
        let keys = decrypting.iter().find(|keys| keys.public().1.thumbprint() == kid);
        keys.ok_or(Error::WrongRecipientKey)?.decrypt_oaep(kid, ciphertext).await
    }
}
