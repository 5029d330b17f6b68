//! WebCrypto behind the provider traits, in a service worker: the vectors of others, and keys that
//! outlive their worker.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hdms::Error;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::provider::{HolderKeys, NodeKeys, Primitives, Timestamp};
use hdms_vectors::PrivateKey;
use hdms_worker::store::IndexedDb;
use hdms_worker::webcrypto::{WebCryptoKeys, WebHolders, WebPrimitives};
use js_sys::{Array, JSON, Object, Reflect};
use serde::Serialize;
use support::fresh_name;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{CryptoKey, CryptoKeyPair, SubtleCrypto, WorkerGlobalScope};

wasm_bindgen_test_configure!(run_in_service_worker);

#[wasm_bindgen_test]
async fn primitives_pass_the_vectors_of_wycheproof() {
    hdms_vectors::primitives(&WebPrimitives::default()).await;
}

#[wasm_bindgen_test]
async fn a_public_checkpoint_is_its_logs_and_its_witnesses() {
    hdms_vectors::log::public_checkpoint(&WebPrimitives::default()).await;
}

#[wasm_bindgen_test]
async fn private_keys_pass_the_vectors_of_wycheproof() {
    hdms_vectors::private_keys(&WebPrimitives::default(), import).await;
}

#[wasm_bindgen_test]
async fn what_is_sealed_opens_unless_it_was_altered() {
    let primitives = WebPrimitives::default();
    for length in [0, 1, 1_000_000] {
        let content = vec![7; length];
        let sealed =
            primitives.seal_gcm(&[1; 32], &[2; 12], b"aad", content.clone()).await.unwrap();
        assert_eq!(sealed.len(), length + 16);
        let opened = primitives.open_gcm(&[1; 32], &[2; 12], b"aad", sealed.clone()).await;
        assert_eq!(opened, Ok(content), "{length}");
        let altered = primitives.open_gcm(&[1; 32], &[2; 12], b"add", sealed).await;
        assert_eq!(altered, Err(Error::DecryptionFailed), "{length}");
    }
}

#[wasm_bindgen_test]
async fn node_keys_are_made_once_and_found_again() {
    let name = fresh_name("keys");
    let store = IndexedDb::open(&name).await.unwrap();
    assert!(WebCryptoKeys::stored(&store).await.unwrap().is_none());
    let made = WebCryptoKeys::stored_or_new(&store).await.unwrap();
    drop(store);

    let store = IndexedDb::open(&name).await.unwrap();
    let found = WebCryptoKeys::stored_or_new(&store).await.unwrap();
    assert_eq!(found.public(), made.public());
    assert_eq!(found.public().0.modulus().len(), 384);
    let signature = found.sign_ps256(b"message").await.unwrap();
    let primitives = WebPrimitives::default();
    assert_eq!(primitives.verify_ps256(made.public().0, b"message", &signature).await, Ok(()));
    let kid = made.public().1.thumbprint();
    let sealed = primitives.encrypt_oaep(&made.public().1, b"secret").await.unwrap();
    assert_eq!(found.decrypt_oaep(&kid, &sealed).await.as_deref(), Ok(&b"secret"[..]));
    let signature = found.sign_request(b"request").await.unwrap();
    let request_key = made.request_key();
    assert_eq!(primitives.verify_es256(request_key, b"request", &signature).await, Ok(()));
}

#[wasm_bindgen_test]
async fn a_node_of_before_there_were_request_keys_gets_one_and_keeps_it_through_renewals() {
    let store = IndexedDb::open(&fresh_name("older")).await.unwrap();
    let made = WebCryptoKeys::stored_or_new(&store).await.unwrap();
    let kept = store.key("node").await.unwrap().unwrap();
    let pairs: &Object = kept.unchecked_ref();
    assert!(Reflect::delete_property(pairs, &"request".into()).unwrap());
    store.keep_key("node", &kept).await.unwrap();
    let found = WebCryptoKeys::stored(&store).await.unwrap().unwrap();
    assert_eq!(found.public(), made.public());
    assert_ne!(found.request_key(), made.request_key());
    found.renew(&store).await.unwrap();
    let again = WebCryptoKeys::stored(&store).await.unwrap().unwrap();
    assert_eq!(again.request_key(), found.request_key());
    assert_ne!(again.public(), made.public());
}

/// The form in which stores of version 1 keep keys is the one of a node that has renewed none.
#[wasm_bindgen_test]
async fn a_stolen_device_opens_nothing_that_was_sealed_to_a_deleted_key() {
    let name = fresh_name("renewed");
    let store = IndexedDb::open(&name).await.unwrap();
    let keys = WebCryptoKeys::stored_or_new(&store).await.unwrap();
    let (node, old) = (keys.public().0.clone(), keys.public().1);
    let sealed = WebPrimitives::default().encrypt_oaep(&old, b"traffic").await.unwrap();
    let opened = async |keys: &WebCryptoKeys| keys.decrypt_oaep(&old.thumbprint(), &sealed).await;
    keys.renew(&store).await.unwrap();
    let newest = keys.public().1;
    assert_ne!(newest, old);
    keys.renew(&store).await.unwrap();
    assert_eq!(keys.public().1, newest, "one at a time");
    // The worker is killed before the Doorman has heard of the new key, and comes again.
    let again = WebCryptoKeys::stored(&store).await.unwrap().unwrap();
    assert_eq!(again.public(), (&node, newest.clone()));
    let day = 24 * 3_600_000;
    for days in [0, 29] {
        again.retire(&store, 0, Timestamp(days * day)).await.unwrap();
        let stored = WebCryptoKeys::stored(&store).await.unwrap().unwrap();
        for keys in [&keys, &again, &stored] {
            assert_eq!(opened(keys).await.as_deref(), Ok(&b"traffic"[..]), "{days}");
        }
    }
    again.retire(&store, 0, Timestamp(30 * day)).await.unwrap();
    let stolen = WebCryptoKeys::stored(&store).await.unwrap().unwrap();
    for keys in [&again, &stolen] {
        assert_eq!(opened(keys).await, Err(Error::WrongRecipientKey));
        assert_eq!(keys.public(), (&node, newest.clone()));
    }
    // One that slept past the thirty days gives it up at once.
    again.renew(&store).await.unwrap();
    assert_ne!(again.public().1, newest);
    let sealed = WebPrimitives::default().encrypt_oaep(&newest, b"traffic").await.unwrap();
    again.retire(&store, 31 * day / 1000, Timestamp(70 * day)).await.unwrap();
    let refused = again.decrypt_oaep(&newest.thumbprint(), &sealed).await;
    assert_eq!(refused, Err(Error::WrongRecipientKey));
}

#[wasm_bindgen_test]
async fn no_script_can_read_a_private_key() {
    let store = IndexedDb::open(&fresh_name("secret")).await.unwrap();
    WebCryptoKeys::stored_or_new(&store).await.unwrap();
    let holder = WebHolders::new(store.clone()).make_holder_key().await.unwrap();
    let node = store.key("node").await.unwrap().unwrap();
    let mut kept =
        vec![store.key(&format!("holder/{}", holder.thumbprint())).await.unwrap().unwrap()];
    for pair in ["signing", "encryption", "request"] {
        let pair: CryptoKeyPair = Reflect::get(&node, &pair.into()).unwrap().unchecked_into();
        kept.push(pair.get_private_key().into());
    }
    for key in kept {
        let key: CryptoKey = key.unchecked_into();
        assert!(!key.extractable());
        for format in ["jwk", "pkcs8"] {
            assert!(subtle().export_key(format, &key).unwrap().await.is_err());
        }
    }
}

#[wasm_bindgen_test]
async fn holder_keys_sign_for_their_case_and_outlive_the_worker() {
    let name = fresh_name("holders");
    let holders = WebHolders::new(IndexedDb::open(&name).await.unwrap());
    let one = holders.make_holder_key().await.unwrap();
    let other = holders.make_holder_key().await.unwrap();
    drop(holders);

    let holders = WebHolders::new(IndexedDb::open(&name).await.unwrap());
    let signature = holders.sign_es256(&one, b"proof").await.unwrap();
    let primitives = WebPrimitives::default();
    assert_eq!(primitives.verify_es256(&one, b"proof", &signature).await, Ok(()));
    let answer = primitives.verify_es256(&other, b"proof", &signature).await;
    assert_eq!(answer, Err(Error::SignatureInvalid));
    let unknown = EcJwk::from_coordinates([1; 32], [1; 32]);
    assert_eq!(holders.sign_es256(&unknown, b"proof").await, Err(Error::UnknownKey));
}

#[wasm_bindgen_test]
async fn a_point_off_the_curve_is_refused_as_a_key() {
    let key = EcJwk::from_coordinates([1; 32], [1; 32]);
    let answer = WebPrimitives::default().verify_es256(&key, b"", &[1; 64]).await;
    assert_eq!(answer, Err(Error::KeyMalformed));
}

async fn import(key: &PrivateKey<RsaJwk>, request: &PrivateKey<EcJwk>) -> WebCryptoKeys {
    let signing = import_pair(key, "RSA-PSS", ["sign", "verify"]).await;
    let encryption = import_pair(key, "RSA-OAEP", ["decrypt", "encrypt"]).await;
    let request = import_pair(request, "ECDSA", ["sign", "verify"]).await;
    WebCryptoKeys::of([&signing, &encryption, &request]).await.unwrap()
}

async fn import_pair<Public: Serialize>(
    key: &PrivateKey<Public>,
    name: &str,
    [private_use, public_use]: [&str; 2],
) -> CryptoKeyPair {
    let private: JsValue = JSON::parse(&key.jwk).unwrap();
    let public = serde_wasm_bindgen::to_value(&key.public).unwrap();
    let private = import_jwk(&private, name, private_use).await;
    CryptoKeyPair::new(&private, &import_jwk(&public, name, public_use).await)
}

async fn import_jwk(jwk: &JsValue, name: &str, usage: &str) -> CryptoKey {
    let algorithm = Object::new();
    for (member, value) in [("name", name), ("hash", "SHA-256"), ("namedCurve", "P-256")] {
        Reflect::set(&algorithm, &member.into(), &value.into()).unwrap();
    }
    let usages = Array::of1(&usage.into());
    let jwk: &Object = jwk.unchecked_ref();
    let promise = subtle().import_key_with_object("jwk", jwk, &algorithm, true, &usages);
    promise.unwrap().await.unwrap().unchecked_into()
}

fn subtle() -> SubtleCrypto {
    js_sys::global().unchecked_into::<WorkerGlobalScope>().crypto().unwrap().subtle()
}
