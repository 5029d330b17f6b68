//! What the worker does, one operation at a time, for scripts that measure it.

use std::rc::Rc;

use hdms::Error;
use hdms::envelope::KIND;
use hdms::jose::jwe::{self, CompactJwe};
use hdms::jose::jws::{self, Unverified};
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::ledger::VerifiedReceipt;
use hdms::network::{NetworkDocuments, Trust};
use hdms::provider::Timestamp;
use js_sys::Promise;
use serde::Deserialize;
use serde_json::Value;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;
use web_sys::CryptoKeyPair;

use crate::platform::BrowserRandomness;
use crate::webcrypto::{WebCryptoKeys, WebPrimitives, generate_p256};

/// A node that seals one message to itself, and opens it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Figures(Rc<Message>);

#[derive(Debug)]
struct Message {
    keys: WebCryptoKeys,
    primitives: WebPrimitives,
    claims: Value,
}

#[wasm_bindgen]
impl Figures {
    /// With an RSA-PSS and an RSA-OAEP pair, and the message's claims as JSON text.
    pub async fn of(
        signing: CryptoKeyPair,
        encryption: CryptoKeyPair,
        claims: String,
    ) -> Result<Figures, JsValue> {
        let message = async {
            let request = generate_p256().await?;
            let keys = WebCryptoKeys::of([&signing, &encryption, &request]).await?;
            let claims = json::parse(claims.as_bytes())?;
            Ok(Message { keys, primitives: WebPrimitives::default(), claims })
        };
        message.await.map(|message| Self(Rc::new(message))).map_err(code)
    }

    /// Signs and encrypts the message; the envelope.
    pub fn seal(&self) -> Promise {
        let message = self.0.clone();
        future_to_promise(async move { message.seal().await.map(Into::into).map_err(code) })
    }

    /// Decrypts an envelope and checks its signature.
    pub fn open(&self, envelope: String) -> Promise {
        let message = self.0.clone();
        let opening = async move { message.open(&envelope).await };
        future_to_promise(async { opening.await.map(|()| JsValue::UNDEFINED).map_err(code) })
    }
}

impl Message {
    async fn seal(&self) -> Result<String, Error> {
        let (signing, encryption) = self.keys.public();
        let signed =
            jws::sign_ps256(KIND.typ, &signing.thumbprint(), &self.claims, &self.keys).await?;
        let (text, cty) = (signed.into_bytes(), Some("JWT"));
        jwe::encrypt(text, cty, &encryption, &self.primitives, &BrowserRandomness).await
    }

    async fn open(&self, envelope: &str) -> Result<(), Error> {
        let plaintext = CompactJwe::parse(envelope)?.decrypt(&self.keys, &self.primitives).await?;
        let signed = String::from_utf8(plaintext).map_err(|_| Error::EnvelopeMalformed)?;
        let unverified = Unverified::parse(&signed, &KIND, Error::EnvelopeMalformed)?;
        unverified.verify_ps256(self.keys.public().0, &self.primitives).await.map(drop)
    }
}

/// Checks receipts under a network's documents.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Receipts(Rc<(Trust, WebPrimitives)>);

/// What [`Receipts`] rely on.
#[derive(Deserialize)]
struct Network {
    documents: NetworkDocuments,
    root: RsaJwk,
    now: Timestamp,
}

#[wasm_bindgen]
impl Receipts {
    /// With `{documents, root, now}` as JSON text.
    pub async fn of(network: String) -> Result<Receipts, JsValue> {
        let receipts = async {
            let network = json::parse(network.as_bytes())?;
            let Network { documents, root, now } = json::read(network, Error::NetworkForged)?;
            let primitives = WebPrimitives::default();
            let trust = Trust::verify(&documents, &root, None, now, &primitives).await?;
            Ok(Self(Rc::new((trust, primitives))))
        };
        receipts.await.map_err(code)
    }

    /// Checks one; how many witnesses it has.
    pub fn check(&self, receipt: String) -> Promise {
        let own = self.0.clone();
        future_to_promise(async move {
            let (trust, primitives) = &*own;
            let checked = VerifiedReceipt::verify(&receipt, trust, primitives).await;
            checked.map(|checked| checked.witnesses().len().into()).map_err(code)
        })
    }
}

fn code(error: Error) -> JsValue {
    error.code().into()
}
