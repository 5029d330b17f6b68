//! The reference provider: every primitive in Rust, over `rsa` (constant-time and blinded), `p256`,
//! `ed25519-dalek`, `aes-gcm` and `sha2`. Each operation draws at most 32 bytes from its
//! [`Randomness`] and stretches them, so that a seeded source reproduces a transcript on every
//! platform.

mod es256;
mod holders;
mod keys;
mod stream;

pub use holders::SoftwareHolders;
pub use keys::SoftwareKeys;
pub(crate) use stream::Stream;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rsa::traits::{PaddingScheme, SignatureScheme};
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::jwk::{EcJwk, RsaJwk};
use crate::provider::{Primitives, Randomness};

/// The primitives that need no private key.
#[derive(Clone, Debug)]
pub struct Software<R> {
    randomness: R,
}

impl<R: Randomness> Software<R> {
    /// With the source from which OAEP takes its seeds.
    pub fn new(randomness: R) -> Self {
        Self { randomness }
    }
}

impl<R: Randomness> Primitives for Software<R> {
    async fn verify_ps256(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        Pss::<Sha256>::new()
            .verify(&public_key(key)?, &Sha256::digest(message), signature)
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn verify_pkcs1(
        &self,
        key: &RsaJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        Pkcs1v15Sign::new::<Sha256>()
            .verify(&public_key(key)?, &Sha256::digest(message), signature)
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn verify_es256(
        &self,
        key: &EcJwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let key = VerifyingKey::from_sec1_bytes(&key.sec1()).map_err(|_| Error::KeyMalformed)?;
        let signature = Signature::from_slice(signature).map_err(|_| Error::SignatureInvalid)?;
        key.verify(message, &signature).map_err(|_| Error::SignatureInvalid)
    }

    async fn verify_ed25519(
        &self,
        key: &[u8; 32],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let signature = ed25519_dalek::Signature::from_slice(signature);
        ed25519_dalek::VerifyingKey::from_bytes(key)
            .and_then(|key| key.verify_strict(message, &signature?))
            .map_err(|_| Error::SignatureInvalid)
    }

    async fn encrypt_oaep(&self, key: &RsaJwk, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let mut stream = Stream::draw(&self.randomness)?;
        Oaep::<Sha256>::new()
            .encrypt(&mut stream, &public_key(key)?, plaintext)
            .map_err(|_| Error::CryptoFailed)
    }

    async fn seal_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        mut plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        Aes256Gcm::new(key.into())
            .encrypt_in_place(&Nonce::from(*iv), aad, &mut plaintext)
            .map_err(|_| Error::CryptoFailed)?;
        Ok(plaintext)
    }

    async fn open_gcm(
        &self,
        key: &[u8; 32],
        iv: &[u8; 12],
        aad: &[u8],
        mut ciphertext: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        Aes256Gcm::new(key.into())
            .decrypt_in_place(&Nonce::from(*iv), aad, &mut ciphertext)
            .map_err(|_| Error::DecryptionFailed)?;
        Ok(ciphertext)
    }
}

fn public_key(key: &RsaJwk) -> Result<RsaPublicKey, Error> {
    let number = BoxedUint::from_be_slice_vartime;
    RsaPublicKey::new(number(key.modulus()), number(key.exponent()))
        .map_err(|_| Error::KeyMalformed)
}

#[cfg(test)]
mod tests {
    use super::{Software, SoftwareHolders, SoftwareKeys};
    use crate::error::Error;
    use crate::jwk::EcJwk;
    use crate::provider::{HolderKeys, NodeKeys, Primitives, Randomness};
    use crate::testing::SeededRandomness;
    use futures_lite::future::block_on;

    fn keys(seed: u64) -> SoftwareKeys<SeededRandomness> {
        SoftwareKeys::generate(2048, SeededRandomness::new(seed)).unwrap()
    }

    #[test]
    fn what_is_signed_verifies_and_what_is_altered_does_not() {
        block_on(async {
            let (keys, primitives) = (keys(1), Software::new(SeededRandomness::new(2)));
            let signature = keys.sign_ps256(b"result").await.unwrap();
            let (signing, encryption) = keys.public();
            primitives.verify_ps256(signing, b"result", &signature).await.unwrap();
            for (key, message, signature) in [
                (signing, &b"other"[..], &signature[..]),
                (encryption, b"result", &signature),
                (signing, b"result", &signature[1..]),
                (signing, b"result", b""),
            ] {
                let answer = primitives.verify_ps256(key, message, signature).await;
                assert_eq!(answer, Err(Error::SignatureInvalid));
            }
        });
    }

    #[test]
    fn what_is_encrypted_decrypts_only_with_its_key_and_unaltered() {
        block_on(async {
            let (keys, primitives) = (keys(1), Software::new(SeededRandomness::new(2)));
            let (signing, encryption) = keys.public();
            let sealed = primitives.encrypt_oaep(encryption, b"key").await.unwrap();
            let kid = encryption.thumbprint();
            assert_eq!(keys.decrypt_oaep(&kid, &sealed).await.unwrap(), b"key");
            let other = keys.decrypt_oaep(&signing.thumbprint(), &sealed).await;
            assert_eq!(other, Err(Error::WrongRecipientKey));
            let foreign = primitives.encrypt_oaep(signing, b"key").await.unwrap();
            let mut altered = sealed.clone();
            altered[100] ^= 1;
            for ciphertext in [&foreign[..], &altered, &sealed[1..], &[0xff; 256], b""] {
                let answer = keys.decrypt_oaep(&kid, ciphertext).await;
                assert_eq!(answer, Err(Error::DecryptionFailed));
            }
        });
    }

    #[test]
    fn keys_survive_export_and_import() {
        block_on(async {
            let keys = keys(3);
            let [signing, encryption, request] = keys.to_private_jwks().unwrap();
            let randomness = SeededRandomness::new(4);
            let again =
                SoftwareKeys::from_private_jwks(&signing, &encryption, &request, randomness)
                    .unwrap();
            assert_eq!(again.public(), keys.public());
            assert_eq!(again.request_key(), keys.request_key());
            assert_eq!(again.to_private_jwks().unwrap(), [signing, encryption, request]);
        });
    }

    #[test]
    fn private_jwks_whose_numbers_do_not_fit_are_refused() {
        let [one, _, request] = keys(5).to_private_jwks().unwrap();
        let [other, _, other_request] = keys(6).to_private_jwks().unwrap();
        let member = |jwk: &str, name: &str| {
            serde_json::from_str::<serde_json::Value>(jwk).unwrap()[name].to_string()
        };
        let imported = |signing: &str, request: &str| {
            let randomness = SeededRandomness::new(0);
            SoftwareKeys::from_private_jwks(signing, &one, request, randomness).err()
        };
        assert_eq!(imported(&one, &request), None);
        for name in ["n", "d", "p", "q"] {
            let mixed = one.replace(&member(&one, name), &member(&other, name));
            assert_eq!(imported(&mixed, &request), Some(Error::KeyMalformed), "{name}");
        }
        for name in ["x", "y", "d"] {
            let mixed = request.replace(&member(&request, name), &member(&other_request, name));
            assert_eq!(imported(&one, &mixed), Some(Error::KeyMalformed), "{name}");
        }
        let (rsa, p256) = (one.as_str(), request.as_str());
        for (signing, request) in [("{}", p256), (rsa, "{}"), (rsa, rsa)] {
            assert_eq!(imported(signing, request), Some(Error::KeyMalformed));
        }
    }

    #[test]
    fn keys_of_other_sizes_are_not_made() {
        for bits in [1024, 8192] {
            let answer = SoftwareKeys::generate(bits, SeededRandomness::new(0));
            assert_eq!(answer.err(), Some(Error::KeyTooShort));
        }
    }

    #[test]
    fn holder_keys_are_distinct_sign_and_survive_export() {
        block_on(async {
            let holders = SoftwareHolders::new(SeededRandomness::new(7));
            let primitives = Software::new(SeededRandomness::new(8));
            let one = holders.make_holder_key().await.unwrap();
            let other = holders.make_holder_key().await.unwrap();
            let signature = holders.sign_es256(&one, b"proof").await.unwrap();
            primitives.verify_es256(&one, b"proof", &signature).await.unwrap();
            let answer = primitives.verify_es256(&other, b"proof", &signature).await;
            assert_eq!(answer, Err(Error::SignatureInvalid));

            let secrets: Vec<_> = holders.secrets();
            let again = SoftwareHolders::from_secrets(secrets, SeededRandomness::new(9)).unwrap();
            assert_eq!(again.sign_es256(&one, b"proof").await, Ok(signature));
            let stranger = SoftwareHolders::new(SeededRandomness::new(9));
            assert_eq!(stranger.sign_es256(&one, b"proof").await, Err(Error::UnknownKey));
        });
    }

    #[test]
    fn a_point_off_the_curve_is_refused_as_a_key() {
        let key = EcJwk::from_coordinates([1; 32], [1; 32]);
        let primitives = Software::new(SeededRandomness::new(0));
        let answer = block_on(primitives.verify_es256(&key, b"", &[1; 64]));
        assert_eq!(answer, Err(Error::KeyMalformed));
    }

    #[test]
    fn a_platform_without_randomness_is_said() {
        struct None;
        impl Randomness for None {
            fn fill(&self, _: &mut [u8]) -> Result<(), Error> {
                Err(Error::RandomnessFailed)
            }
        }
        let keys = keys(1);
        let answer = block_on(Software::new(None).encrypt_oaep(keys.public().1, b"key"));
        assert_eq!(answer, Err(Error::RandomnessFailed));
        assert_eq!(SoftwareKeys::generate(2048, None).err(), Some(Error::RandomnessFailed));
    }
}
