//! Wycheproof over the native providers; the browser's runs in `worker/`.

use futures_lite::future::block_on;
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::software::{Software, SoftwareKeys};
use hdms::testing::SeededRandomness;
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives};
use hdms_vectors::PrivateKey;

#[test]
fn the_software_provider_agrees_with_wycheproof() {
    block_on(async {
        let software = Software::new(SeededRandomness::new(1));
        println!("{} vectors", hdms_vectors::primitives(&software).await);
        let import = async |key: &PrivateKey<RsaJwk>, request: &PrivateKey<EcJwk>| {
            let randomness = SeededRandomness::new(2);
            SoftwareKeys::from_private_jwks(&key.jwk, &key.jwk, &request.jwk, randomness).unwrap()
        };
        println!("{} vectors", hdms_vectors::private_keys(&software, import).await);
    });
}

#[test]
fn aws_lc_agrees_with_wycheproof() {
    block_on(async {
        println!("{} vectors", hdms_vectors::primitives(&AwsPrimitives).await);
        let import = async |key: &PrivateKey<RsaJwk>, request: &PrivateKey<EcJwk>| {
            AwsKeys::from_pkcs8(&key.pkcs8, &key.pkcs8, &request.pkcs8).unwrap()
        };
        println!("{} vectors", hdms_vectors::private_keys(&AwsPrimitives, import).await);
    });
}
