//! The node's keys.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::{try_join, try_join3};
use hdms::Error;
use hdms::envelope;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::provider::{NodeKeys, Timestamp};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CryptoKey, CryptoKeyPair};

use super::{
    OAEP, PSS, SHA256, algorithm, bytes, es256, export_jwk, failed, generate_p256, pss, settled,
    subtle, usages,
};
use crate::store::IndexedDb;

/// Bits of the modulus.
const BITS: u32 = 3072;

/// Under this name the store keeps `{signing, encryption, request}`, three CryptoKeyPairs, and while there
/// is a former encryption key `former`, its thumbprint `kid`, and once the card names the newer one
/// `until`, the time in milliseconds at which the former is deleted. Before there were request keys it kept
/// none.
const NAME: &str = "node";

/// The private keys of this node, non-extractable: kept in IndexedDB, used by the browser, read by
/// nobody.
#[derive(Clone, Debug)]
pub struct WebCryptoKeys {
    signing: CryptoKey,
    signing_key: RsaJwk,
    request: CryptoKey,
    request_key: EcJwk,
    encryption: Rc<RefCell<Encryption>>,
}

/// The keys that open what was sealed to them.
#[derive(Clone, Debug)]
struct Encryption {
    key: CryptoKey,
    public: RsaJwk,
    /// The one before, by its thumbprint.
    former: Option<(String, CryptoKey)>,
}

impl WebCryptoKeys {
    /// The keys that the store keeps, if it keeps any. A request key that it lacks is made and kept.
    pub async fn stored(store: &IndexedDb) -> Result<Option<Self>, Error> {
        let Some(kept) = store.key(NAME).await? else { return Ok(None) };
        if member(&kept, "request")?.is_undefined() {
            let made = generate_p256().await?;
            set(&kept, "request", &made)?;
            store.keep_key(NAME, &kept).await?;
        }
        let keys = [pair(&kept, "signing")?, pair(&kept, "encryption")?, pair(&kept, "request")?];
        let keys = Self::of(keys.each_ref()).await?;
        if let Some(kid) = member(&kept, "kid")?.as_string() {
            let former = pair(&kept, "former")?.get_private_key();
            keys.encryption.borrow_mut().former = Some((kid, former));
        }
        Ok(Some(keys))
    }

    /// The keys that the store keeps; new ones, kept before they are answered, if it has none.
    pub async fn stored_or_new(store: &IndexedDb) -> Result<Self, Error> {
        if let Some(keys) = Self::stored(store).await? {
            return Ok(keys);
        }
        let made = try_join(generate(PSS, ["sign", "verify"]), generate_oaep()).await?;
        let (signing, encryption, request) = (made.0, made.1, generate_p256().await?);
        let kept = Object::new();
        let pairs = [("signing", &signing), ("encryption", &encryption), ("request", &request)];
        for (name, pair) in pairs {
            set(&kept, name, pair)?;
        }
        store.keep_key(NAME, &kept).await?;
        Self::of(pairs.map(|(_, pair)| pair)).await
    }

    /// From an RSA-PSS, an RSA-OAEP and a P-256 pair whose public halves can be exported: the one that
    /// signs, the one that encrypts, the one for requests.
    pub async fn of(pairs: [&CryptoKeyPair; 3]) -> Result<Self, Error> {
        let [verifies, encrypts, asks] = pairs.map(CryptoKeyPair::get_public_key);
        let exported = try_join3(export_jwk(&verifies), export_jwk(&encrypts), export_jwk(&asks));
        let (signing_key, public, request_key) = exported.await?;
        let [signing, key, request] = pairs.map(CryptoKeyPair::get_private_key);
        let encryption = Rc::new(RefCell::new(Encryption { key, public, former: None }));
        Ok(Self { signing, signing_key, request, request_key, encryption })
    }

    /// The public halves of the signing key and of the newest encryption key.
    pub fn public(&self) -> (&RsaJwk, RsaJwk) {
        (&self.signing_key, self.encryption.borrow().public.clone())
    }

    /// The public half of the request key.
    pub fn request_key(&self) -> &EcJwk {
        &self.request_key
    }

    /// Has a new encryption key, kept before this returns: the next card may name it. Not while the one
    /// before the present is still kept.
    pub async fn renew(&self, store: &IndexedDb) -> Result<(), Error> {
        // One that was given up just after it had kept its key counts.
        if let Some(stored) = Self::stored(store).await? {
            self.encryption.replace(stored.encryption.borrow().clone());
        }
        if self.encryption.borrow().former.is_some() {
            return Ok(());
        }
        let kept = store.key(NAME).await?.ok_or(Error::StoreLost)?;
        let (new, old) = (generate_oaep().await?, pair(&kept, "encryption")?);
        let public = export_jwk(&new.get_public_key()).await?;
        let kid = self.encryption.borrow().public.thumbprint();
        for (name, value) in [("former", &old), ("encryption", &new)] {
            set(&kept, name, value)?;
        }
        set(&kept, "kid", &kid.as_str().into())?;
        store.keep_key(NAME, &kept).await?;
        let former = Some((kid, old.get_private_key()));
        self.encryption.replace(Encryption { key: new.get_private_key(), public, former });
        Ok(())
    }

    /// Once the card, issued at the second `issued`, names the newest encryption key: the one before is
    /// kept for as long as something that was sealed to it may lie in a mailbox, and deleted then.
    pub async fn retire(
        &self,
        store: &IndexedDb,
        issued: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.encryption.borrow().former.is_none() {
            return Ok(());
        }
        let kept = store.key(NAME).await?.ok_or(Error::StoreLost)?;
        let noted = member(&kept, "until")?.as_f64();
        let issued = issued.min(now.seconds());
        let until = noted.unwrap_or((issued + envelope::LIFETIME) as f64 * 1000.0);
        if (now.0 as f64) < until {
            if noted.is_some() {
                return Ok(());
            }
            set(&kept, "until", &until.into())?;
            return store.keep_key(NAME, &kept).await;
        }
        for name in ["former", "kid", "until"] {
            set(&kept, name, &JsValue::UNDEFINED)?;
        }
        store.keep_key(NAME, &kept).await?;
        self.encryption.borrow_mut().former = None;
        Ok(())
    }
}

impl NodeKeys for WebCryptoKeys {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let subtle = subtle()?;
        let promise = subtle.sign_with_object_and_u8_array(&pss()?, &self.signing, message);
        bytes(promise, Error::CryptoFailed).await
    }

    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let promise = subtle()?.sign_with_object_and_u8_array(&es256()?, &self.request, message);
        bytes(promise, Error::CryptoFailed).await
    }

    async fn decrypt_oaep(&self, kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        let Encryption { key, public, former } = self.encryption.borrow().clone();
        let key = match former {
            _ if public.thumbprint() == kid => key,
            Some((former, key)) if former == kid => key,
            _ => return Err(Error::WrongRecipientKey),
        };
        let oaep = algorithm(OAEP, &[])?;
        let promise = subtle()?.decrypt_with_object_and_u8_array(&oaep, &key, ciphertext);
        bytes(promise, Error::DecryptionFailed).await
    }
}

fn member(kept: &JsValue, name: &str) -> Result<JsValue, Error> {
    Reflect::get(kept, &name.into()).map_err(|_| Error::StoreCorrupt)
}

fn pair(kept: &JsValue, name: &str) -> Result<CryptoKeyPair, Error> {
    member(kept, name).map(JsCast::unchecked_into)
}

fn set(kept: &JsValue, name: &str, value: &JsValue) -> Result<(), Error> {
    Reflect::set(kept, &name.into(), value).map(drop).map_err(failed)
}

async fn generate_oaep() -> Result<CryptoKeyPair, Error> {
    generate(OAEP, ["decrypt", "encrypt"]).await
}

async fn generate(name: &str, purposes: [&str; 2]) -> Result<CryptoKeyPair, Error> {
    let exponent: JsValue = Uint8Array::from(&[1, 0, 1][..]).into();
    let algorithm = algorithm(
        name,
        &[("modulusLength", BITS.into()), ("publicExponent", exponent), ("hash", SHA256.into())],
    )?;
    let promise = subtle()?.generate_key_with_object(&algorithm, false, &usages(&purposes));
    settled(promise, Error::CryptoFailed).await
}
