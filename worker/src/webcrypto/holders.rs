//! The P-256 keys of the patient's cases.

use hdms::Error;
use hdms::jwk::EcJwk;
use hdms::provider::HolderKeys;
use wasm_bindgen::JsCast;
use web_sys::CryptoKey;

use super::{bytes, es256, export_jwk, generate_p256, subtle};
use crate::store::IndexedDb;

/// One non-extractable key for each case, kept in IndexedDB by the thumbprint of its public half.
#[derive(Clone, Debug)]
pub struct WebHolders {
    store: IndexedDb,
}

impl WebHolders {
    /// Those that `store` keeps.
    pub fn new(store: IndexedDb) -> Self {
        Self { store }
    }
}

impl HolderKeys for WebHolders {
    async fn make_holder_key(&self) -> Result<EcJwk, Error> {
        let pair = generate_p256().await?;
        let public: EcJwk = export_jwk(&pair.get_public_key()).await?;
        self.store.keep_key(&name(&public), &pair.get_private_key()).await?;
        Ok(public)
    }

    async fn sign_es256(&self, key: &EcJwk, message: &[u8]) -> Result<Vec<u8>, Error> {
        let private = self.store.key(&name(key)).await?.ok_or(Error::UnknownKey)?;
        let private: CryptoKey = private.unchecked_into();
        let promise = subtle()?.sign_with_object_and_u8_array(&es256()?, &private, message);
        bytes(promise, Error::CryptoFailed).await
    }
}

fn name(key: &EcJwk) -> String {
    format!("holder/{}", key.thumbprint())
}
