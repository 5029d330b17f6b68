//! The JOSE layer over vectors that others wrote: Wycheproof's JSON Web Signature, Encryption and
//! Key sets, RFC 7516 and RFC 7520, and nested messages of four other libraries. They are no part of
//! this repository: they lie in `../shared/data/vectors` beside the clone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::decode;
use hdms::jose::jwe::CompactJwe;
use hdms::jose::jws::{Compact, Kind, Unverified};
use hdms::jwk;
use hdms::provider::{NodeKeys, Primitives};
use hdms::software::{Software, SoftwareKeys};
use hdms::testing::SeededRandomness;
use serde_json::Value;

const SIGNATURES: [&str; 2] = ["PS256", "ES256"];

/// The file's text; `None`, said on stdout, where the folder of vectors is absent.
fn read(name: &str) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vectors");
    if !root.is_dir() {
        println!("SKIPPED {name}: there is no ../shared/data/vectors beside the clone");
        return None;
    }
    Some(std::fs::read_to_string(root.join(name)).unwrap())
}

fn read_json(name: &str) -> Option<Value> {
    Some(serde_json::from_str(&read(name)?).unwrap())
}

fn software() -> Software<SeededRandomness> {
    Software::new(SeededRandomness::new(1))
}

/// The private P-256 key of RFC 7517 appendix A.2.
const REQUEST: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

fn keys(jwk: &str) -> Result<SoftwareKeys<SeededRandomness>, Error> {
    SoftwareKeys::from_private_jwks(jwk, jwk, REQUEST, SeededRandomness::new(2))
}

/// Whatever key a vector names, if it names any, it is this one.
struct OneKey(SoftwareKeys<SeededRandomness>);

impl NodeKeys for OneKey {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign_ps256(message).await
    }

    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign_request(message).await
    }

    async fn decrypt_oaep(&self, _kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.decrypt_oaep(&self.0.public().1.thumbprint(), ciphertext).await
    }
}

/// The vectors of a Wycheproof file that have `member`: the group's key, the compact text, the
/// whole vector.
fn wycheproof(name: &str, member: &str) -> Vec<(Value, String, Value)> {
    let Some(file) = read_json(&format!("wycheproof/{name}_test.json")) else { return Vec::new() };
    let mut vectors = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        let signed = member == "jws" && group["public"].is_object();
        let key = &group[if signed { "public" } else { "private" }];
        let key = if key["keys"].is_array() { &key["keys"][0] } else { key };
        for test in group["tests"].as_array().unwrap() {
            match &test[member] {
                Value::Null => {}
                Value::String(text) => vectors.push((key.clone(), text.clone(), test.clone())),
                other => vectors.push((key.clone(), other.to_string(), test.clone())),
            }
        }
    }
    vectors
}

/// A member of the protected header, if `compact` has `parts` parts and a header that is JSON.
fn named(compact: &str, parts: usize, member: &str) -> Option<String> {
    let header = compact.split('.').next().filter(|_| compact.split('.').count() == parts)?;
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    Some(header[member].as_str()?.to_owned())
}

async fn verify(compact: &str, key: &Value, primitives: &impl Primitives) -> Result<(), Error> {
    let signed = Compact::parse(compact, Error::EnvelopeMalformed)?;
    let malformed = |_| Error::KeyMalformed;
    if named(compact, 3, "alg").as_deref() == Some("PS256") {
        let key: jwk::RsaJwk = serde_json::from_value(key.clone()).map_err(malformed)?;
        signed.verify_ps256(&key, primitives).await?;
    } else {
        let key: jwk::EcJwk = serde_json::from_value(key.clone()).map_err(malformed)?;
        signed.verify_es256(&key, primitives).await?;
    }
    Ok(())
}

#[test]
fn of_wycheproofs_signatures_only_the_valid_ps256_and_es256_verify() {
    let (mut run, mut verified, mut algorithms) = (0, 0, 0);
    for file in ["json_web_signature", "json_web_crypto", "json_web_key"] {
        for (key, compact, test) in wycheproof(file, "jws") {
            let answer = block_on(verify(&compact, &key, &software()));
            let alg = named(&compact, 3, "alg");
            let accepted = alg.as_deref().map(|alg| SIGNATURES.contains(&alg));
            if accepted == Some(true) && test["result"] == "valid" {
                assert_eq!(answer, Ok(()), "{file} {}", test["tcId"]);
                verified += 1;
            } else {
                assert!(answer.is_err(), "{file} {}", test["tcId"]);
            }
            if accepted == Some(false) {
                assert_eq!(answer, Err(Error::AlgorithmRefused), "{file} {}", test["tcId"]);
                algorithms += 1;
            }
            run += 1;
        }
    }
    println!("{run} signatures: {verified} verified, {algorithms} refused for their algorithm");
    assert!(run == 0 || (run >= 470 && verified == 9 && algorithms >= 300));
}

async fn open(compact: &str, key: &Value, primitives: &impl Primitives) -> Result<Vec<u8>, Error> {
    CompactJwe::parse(compact)?.decrypt(&OneKey(keys(&key.to_string())?), primitives).await
}

#[test]
fn of_wycheproofs_encryptions_only_the_valid_rsa_oaep_256_with_a256gcm_open() {
    let (mut run, mut opened, mut algorithms) = (0, 0, 0);
    for file in ["json_web_encryption", "json_web_crypto"] {
        for (key, compact, test) in wycheproof(file, "jwe") {
            let answer = block_on(open(&compact, &key, &software()));
            let alg = named(&compact, 5, "alg");
            let enc = named(&compact, 5, "enc");
            let named = alg.is_some();
            let accepted =
                alg.as_deref() == Some("RSA-OAEP-256") && enc.as_deref() == Some("A256GCM");
            if accepted && test["result"] == "valid" {
                let hex: String =
                    answer.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(test["pt"], hex, "{file} {}", test["tcId"]);
                opened += 1;
            } else if named && !accepted {
                assert_eq!(answer, Err(Error::AlgorithmRefused), "{file} {}", test["tcId"]);
                algorithms += 1;
            } else {
                assert!(answer.is_err(), "{file} {}", test["tcId"]);
            }
            run += 1;
        }
    }
    println!("{run} encryptions: {opened} opened, {algorithms} refused for their algorithm");
    assert!(run == 0 || (run >= 170 && opened == 1 && algorithms >= 130));
}

#[test]
fn the_rfcs_examples_with_other_algorithms_are_refused_for_them() {
    for (file, member) in [
        ("rfc7516_A1.json", "/jwe_compact"), // RSA-OAEP, with SHA-1
        ("jose-cookbook/5_2.key_encryption_using_rsa-oaep_with_aes-gcm.json", "/output/compact"),
        ("jose-cookbook/6.nesting_signatures_and_encryption.json", "/encrypt/output/compact"),
    ] {
        let Some(example) = read_json(file) else { return };
        let compact = example.pointer(member).unwrap().as_str().unwrap();
        assert_eq!(CompactJwe::parse(compact).err(), Some(Error::AlgorithmRefused), "{file}");
    }
    let Some(example) = read_json("jose-cookbook/4_2.rsa-pss_signature.json") else { return };
    let ps384 = example["output"]["compact"].as_str().unwrap();
    let answer = Compact::parse(ps384, Error::EnvelopeMalformed);
    assert_eq!(answer.err(), Some(Error::AlgorithmRefused));
}

#[test]
fn the_signature_inside_rfc_7520_section_6_verifies() {
    let file = "jose-cookbook/6.nesting_signatures_and_encryption.json";
    let Some(example) = read_json(file) else { return };
    let key = serde_json::from_value(example["sign"]["input"]["key"].clone()).unwrap();
    let compact = example["sign"]["output"]["compact"].as_str().unwrap();
    let signed =
        Unverified::parse(compact, &Kind::statement("JWT"), Error::EnvelopeMalformed).unwrap();
    let payload = block_on(signed.verify_ps256(&key, &software())).unwrap();
    assert_eq!(payload.to_string(), example["sign"]["input"]["payload"].as_str().unwrap());
}

#[test]
fn nested_messages_of_other_libraries_open() {
    for library in ["node", "joserfc", "authlib", "jwcrypto"] {
        let Some(sealed) = read(&format!("nested/{library}.jwe")) else { return };
        let keys = keys(&read("nested/enc.priv.json").unwrap()).unwrap();
        let author = serde_json::from_str(&read("nested/sig.pub.json").unwrap()).unwrap();
        block_on(async {
            let sealed = CompactJwe::parse(sealed.trim()).unwrap();
            let signed = sealed.decrypt(&OneKey(keys), &software()).await.unwrap();
            let signed = String::from_utf8(signed).unwrap();
            let signed = Compact::parse(&signed, Error::EnvelopeMalformed).unwrap();
            let payload = signed.verify_ps256(&author, &software()).await.unwrap();
            assert_eq!(payload, read("nested/plaintext.json").unwrap().as_bytes(), "{library}");
        });
    }
}
