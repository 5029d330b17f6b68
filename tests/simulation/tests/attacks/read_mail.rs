//! A server wants to read what was sealed to a node, and gives it to the node as a challenge.

use std::cell::Cell;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::doorman::{AdmissionRequest, Challenge, ChallengeAnswer, expected_answer};
use hdms::envelope::Sealed;
use hdms::ids::{CaseId, MessageId, NodeId};
use hdms::jose::jwe;
use hdms::jwk::RsaJwk;
use hdms::node::Platform;
use hdms::provider::{Clock, NodeKeys};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{World, keys};

use crate::request_of;

/// The hospital's keys, which count how often they decrypt.
struct Watched<'a, K> {
    keys: &'a K,
    decrypted: Cell<usize>,
}

impl<K: NodeKeys> NodeKeys for Watched<'_, K> {
    async fn sign_ps256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.keys.sign_ps256(message).await
    }

    async fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.keys.sign_pkcs1(message).await
    }

    async fn sign_request(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.keys.sign_request(message).await
    }

    async fn decrypt_oaep(&self, kid: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Error> {
        self.decrypted.set(self.decrypted.get() + 1);
        self.keys.decrypt_oaep(kid, ciphertext).await
    }
}

/// A hospital that renews its card at a server that lies.
struct Scene {
    world: World,
    request: AdmissionRequest,
}

impl Scene {
    async fn set(seed: u64) -> Self {
        let world = World::new(seed).await.unwrap();
        let (platform, card) = (world.hospital.platform(), world.hospital.card());
        let iat = platform.clock().now().seconds();
        let jti = MessageId::new(platform.clock(), platform.randomness()).unwrap();
        let request = AdmissionRequest { iat, jti, ..request_of(card.card()) };
        Self { world, request }
    }

    /// What the hospital answers to this, and how often its private key was used for it.
    async fn answer(&self, challenge: &str) -> (Result<ChallengeAnswer, Error>, usize) {
        let platform = self.world.hospital.platform();
        let keys = Watched { keys: platform.keys(), decrypted: Cell::new(0) };
        let challenge = Challenge { challenge: challenge.into(), expires: u64::MAX };
        let jwt = self.request.sign(&keys).await.unwrap();
        let answer = challenge.answer(&self.request, jwt, &keys, platform.primitives()).await;
        (answer, keys.decrypted.get())
    }

    async fn sealed(&self, plaintext: &str, cty: Option<&str>, key: &RsaJwk) -> String {
        let p = self.world.hospital.platform();
        let plaintext = plaintext.as_bytes().to_vec();
        jwe::encrypt(plaintext, cty, key, p.primitives(), p.randomness()).await.unwrap()
    }

    /// A patient's real request for treatment, as it went over the wire.
    async fn captured(&mut self) -> String {
        let case: CaseId = "019b7985-7400-7000-8000-000000000001".parse().unwrap();
        let asked = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
        let world = &mut self.world;
        world.patient.ask(&case, world.hospital.id(), asked).await.unwrap();
        world.settle().await.unwrap();
        world.mail.remove(0).envelope
    }
}

const CTY: Option<&str> = Some("hdms-challenge");
const LENGTH: usize = 115;

fn plaintext(label: &str, purpose: &str, node: &NodeId) -> String {
    format!("{label}\n{purpose}\n{node}\n{}", digest("secret"))
}

#[test]
fn a_captured_envelope_is_no_challenge_and_the_key_is_not_even_used() {
    block_on(async {
        let mut scene = Scene::set(1).await;
        let envelope = scene.captured().await;
        assert_eq!(scene.answer(&envelope).await, (Err(Error::ChallengeForged), 0));
        // Under a challenge's header, which what was sealed does not fit.
        let hospital = scene.world.hospital.card();
        let text = plaintext("hdms-challenge/v2", "admission", hospital.id());
        let good = scene.sealed(&text, CTY, hospital.encryption_key().unwrap()).await;
        let (header, rest) = (good.split_once('.').unwrap().0, envelope.split_once('.').unwrap().1);
        let dressed = format!("{header}.{rest}");
        assert_eq!(scene.answer(&dressed).await, (Err(Error::ChallengeForged), 0));
        // And with as much of it as a challenge has.
        let parts: Vec<_> = rest.split('.').collect();
        let [key, iv, ciphertext, tag] = parts[..] else { panic!("five parts") };
        let cut = &ciphertext[..(LENGTH * 4).div_ceil(3)];
        for last in 'A'..='Z' {
            let cut = format!("{}{last}", &cut[..cut.len() - 1]);
            let dressed = [header, key, iv, &cut, tag].join(".");
            assert_eq!(dressed.len(), good.len());
            assert_eq!(scene.answer(&dressed).await.0, Err(Error::ChallengeForged));
        }
    });
}

#[test]
fn what_is_not_a_challenge_of_this_form_is_refused_before_it_is_decrypted() {
    block_on(async {
        let scene = Scene::set(2).await;
        let (node, key) = (&scene.request.iss, &scene.request.stated_subkeys().unwrap().encryption);
        let text = plaintext("hdms-challenge/v2", "admission", node);
        assert_eq!(text.len(), LENGTH);
        let good = scene.sealed(&text, CTY, key).await;
        let (answer, _) = scene.answer(&good).await;
        let answer = answer.unwrap().answer;
        assert_eq!(answer, expected_answer(node, &digest("secret")));
        assert!(!text.contains(&answer), "the answer is a digest");

        let other = keys("stranger", scene.world.providers.randomness.clone()).unwrap();
        let signing = &scene.request.signing_key;
        for (what, challenge) in [
            ("an envelope's kind", scene.sealed(&text, Some("JWT"), key).await),
            ("no kind", scene.sealed(&text, None, key).await),
            ("shorter", scene.sealed(&text[..LENGTH - 1], CTY, key).await),
            ("longer", scene.sealed(&format!("{text}A"), CTY, key).await),
            ("empty", scene.sealed("", CTY, key).await),
            ("to another's key", scene.sealed(&text, CTY, other.public().1).await),
            ("to the signing key", scene.sealed(&text, CTY, signing).await),
            ("nothing", String::new()),
            ("a secret in clear", digest("secret")),
        ] {
            assert_eq!(scene.answer(&challenge).await, (Err(Error::ChallengeForged), 0), "{what}");
        }
    });
}

#[test]
fn a_challenge_for_something_or_somebody_else_is_not_answered() {
    block_on(async {
        let scene = Scene::set(3).await;
        let (node, key) = (&scene.request.iss, &scene.request.stated_subkeys().unwrap().encryption);
        let v2 = "hdms-challenge/v2";
        let text = plaintext(v2, "admission", node);
        let odd_secret = format!("{}!", &text[..LENGTH - 1]);
        for (what, text) in [
            ("another purpose", plaintext(v2, "migration", node)),
            ("another node", plaintext(v2, "admission", scene.world.patient.id())),
            ("another label", plaintext("hdms-challenge/v1", "admission", node)),
            ("no secret", odd_secret),
            ("a patient's words", "Cough, and more".repeat(8)[..LENGTH].to_owned()),
        ] {
            let challenge = scene.sealed(&text, CTY, key).await;
            assert_eq!(scene.answer(&challenge).await.0, Err(Error::ChallengeForged), "{what}");
        }
    });
}

#[test]
fn a_challenge_is_no_envelope() {
    block_on(async {
        let scene = Scene::set(4).await;
        let hospital = scene.world.hospital.card();
        let text = plaintext("hdms-challenge/v2", "admission", hospital.id());
        let challenge = scene.sealed(&text, CTY, hospital.encryption_key().unwrap()).await;
        let opened = Sealed::parse(challenge.as_bytes());
        assert_eq!(opened.err(), Some(Error::EnvelopeMalformed));
    });
}
