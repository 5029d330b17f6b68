//! Every check of an opening envelope refuses with its own code, quarantines what it refused, and
//! changes nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::encode;
use hdms::card::{Role, VerifiedCard};
use hdms::envelope::{LIFETIME, MAX_BYTES};
use hdms::ids::CaseId;
use hdms::jose::jwe;
use hdms::ledger::{Entry, VerifiedEndorsement};
use hdms::network::Trust;
use hdms::provider::{CLOCK_SKEW, NodeKeys, Store, Table, Timestamp};
use hdms::software::{Software, SoftwareKeys};
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, Operator, World, keys};
use serde_json::{Value, json};

/// A network, a good request on its way to the hospital, and what is needed to forge others.
struct Forge {
    world: World,
    envelope: String,
    randomness: SeededRandomness,
}

impl Forge {
    async fn new() -> Self {
        let mut world = World::new(3).await.unwrap();
        let case: CaseId = "019b7985-7400-7000-8000-000000000001".parse().unwrap();
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
        let hospital = world.hospital.id().clone();
        world.patient.ask(&case, &hospital, request).await.unwrap();
        world.settle().await.unwrap();
        let envelope = world.mail.remove(0).envelope;
        Self { world, envelope, randomness: SeededRandomness::new(99) }
    }

    fn keys(&self, name: &str) -> SoftwareKeys<SeededRandomness> {
        keys(name, self.randomness.clone()).unwrap()
    }

    fn software(&self) -> Software<SeededRandomness> {
        Software::new(self.randomness.clone())
    }

    /// The claims of the good request.
    async fn claims(&self) -> Value {
        let sealed = jwe::CompactJwe::parse(&self.envelope).unwrap();
        let signed = sealed.decrypt(&self.keys("hospital"), &self.software()).await.unwrap();
        let signed = String::from_utf8(signed).unwrap();
        let payload = signed.split('.').nth(1).unwrap();
        serde_json::from_slice(&hdms::base64url::decode(payload).unwrap()).unwrap()
    }

    /// Signs `claims` under any header.
    async fn sign(&self, header: Value, claims: &Value, signer: &str) -> String {
        let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.keys(signer).sign_ps256(input.as_bytes()).await.unwrap();
        format!("{input}.{}", encode(signature))
    }

    async fn seal(&self, signed: String) -> String {
        let hospital = self.world.hospital.card();
        let recipient = hospital.encryption_key().unwrap();
        let (software, randomness) = (self.software(), self.randomness.clone());
        jwe::encrypt(signed.into_bytes(), Some("JWT"), recipient, &software, &randomness)
            .await
            .unwrap()
    }

    /// Signs and seals `claims` as the patient would.
    async fn forge(&self, claims: &Value) -> String {
        let header = json!({"alg": "PS256", "typ": "hdms+jwt"});
        self.seal(self.sign(header, claims, "patient").await).await
    }

    /// The good request with some claims replaced.
    async fn with(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims().await;
        change(&mut claims);
        self.forge(&claims).await
    }

    /// The hospital refuses the envelope with `error`, quarantines it, and changes nothing else.
    async fn expect(&self, envelope: impl AsRef<[u8]>, error: Error) {
        let before = self.quarantined().await;
        let outcome = self.world.hospital.receive::<HospitalCase>(envelope.as_ref()).await;
        assert_eq!(outcome, Err(error));
        let after = self.quarantined().await;
        let times = |all: &[String]| all.iter().filter(|code| **code == error.code()).count();
        assert_eq!(times(&after), times(&before) + 1, "{}", error.code());
        for table in Table::ALL {
            // Where the sender's refusals are counted.
            if !matches!(table, Table::Quarantine | Table::Meta) {
                let store = hdms::node::Platform::store(self.world.hospital.platform());
                let rows = store.scan(table, "", "", 10).await.unwrap();
                assert!(rows.is_empty(), "{} was changed", table.name());
            }
        }
    }

    async fn quarantined(&self) -> Vec<String> {
        let rows = self.world.hospital.quarantined("", 100).await.unwrap();
        rows.into_iter().map(|(_, quarantined)| quarantined.code).collect()
    }
}

#[test]
fn oversized_malformed_and_truncated_envelopes_are_refused() {
    block_on(async {
        let forge = Forge::new().await;
        forge.expect(vec![b'a'; MAX_BYTES + 1], Error::EnvelopeTooLarge).await;
        for malformed in ["", "a.b.c", "a.b.c.d.e", "{}", "\u{ff}.a.b.c.d"] {
            forge.expect(malformed, Error::EnvelopeMalformed).await;
        }
        forge.expect(b"\xff\xfe", Error::EnvelopeMalformed).await;
        let parts: Vec<&str> = forge.envelope.split('.').collect();
        forge.expect(parts[..4].join("."), Error::EnvelopeMalformed).await;
        let shortened = &forge.envelope[..forge.envelope.len() - 4];
        forge.expect(shortened, Error::EnvelopeMalformed).await;
    });
}

#[test]
fn other_algorithms_are_refused_outside_and_inside() {
    block_on(async {
        let forge = Forge::new().await;
        let rest = forge.envelope.split_once('.').unwrap().1;
        for (alg, enc) in [
            ("RSA1_5", "A256GCM"),
            ("RSA-OAEP", "A256GCM"),
            ("dir", "A256GCM"),
            ("none", "A256GCM"),
            ("RSA-OAEP-256", "A128GCM"),
            ("RSA-OAEP-256", "A256CBC-HS512"),
        ] {
            let header = json!({"alg": alg, "enc": enc, "cty": "JWT", "kid": "x"}).to_string();
            let envelope = format!("{}.{rest}", encode(header));
            forge.expect(envelope, Error::AlgorithmRefused).await;
        }
        let claims = forge.claims().await;
        for alg in ["none", "HS256", "RS256", "PS512", "ES256"] {
            let header = json!({"alg": alg, "typ": "hdms+jwt"});
            let signed = forge.sign(header, &claims, "patient").await;
            forge.expect(forge.seal(signed).await, Error::AlgorithmRefused).await;
        }
    });
}

#[test]
fn headers_with_members_that_are_not_understood_are_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let rest = forge.envelope.split_once('.').unwrap().1;
        let kid = forge.world.hospital.card().encryption_key().unwrap().thumbprint();
        let header = json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", "kid": kid, "zip": "DEF"});
        let envelope = format!("{}.{rest}", encode(header.to_string()));
        forge.expect(envelope, Error::EnvelopeMalformed).await;
        let claims = forge.claims().await;
        for header in [
            json!({"alg": "PS256", "typ": "hdms+jwt", "crit": ["b64"], "b64": false}),
            json!({"alg": "PS256", "typ": "hdms-card+jwt"}),
            json!({"alg": "PS256"}),
        ] {
            let signed = forge.sign(header, &claims, "patient").await;
            forge.expect(forge.seal(signed).await, Error::EnvelopeMalformed).await;
        }
    });
}

#[test]
fn another_recipients_key_and_altered_ciphertext_are_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let (software, randomness) = (forge.software(), forge.randomness.clone());
        let stranger = forge.keys("stranger");
        let elsewhere =
            jwe::encrypt(vec![1], Some("JWT"), stranger.public().1, &software, &randomness).await;
        forge.expect(elsewhere.unwrap(), Error::WrongRecipientKey).await;
        let parts: Vec<String> = forge.envelope.split('.').map(str::to_owned).collect();
        for at in 1..parts.len() {
            let mut parts = parts.clone();
            let other = if parts[at].starts_with('A') { "B" } else { "A" };
            parts[at].replace_range(..1, other);
            forge.expect(parts.join("."), Error::DecryptionFailed).await;
        }
    });
}

#[test]
fn a_signature_of_somebody_else_is_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let claims = forge.claims().await;
        let header = json!({"alg": "PS256", "typ": "hdms+jwt"});
        let signed = forge.sign(header, &claims, "stranger").await;
        forge.expect(forge.seal(signed).await, Error::SignatureInvalid).await;
    });
}

#[test]
fn unknown_foreign_and_forged_cards_are_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let none = forge.with(|claims| drop(claims.as_object_mut().unwrap().remove("card")));
        forge.expect(none.await, Error::CardUnknown).await;
        let hospitals = forge.world.hospital.card().jwt().to_owned();
        let foreign = forge.with(|claims| claims["card"] = json!(hospitals)).await;
        forge.expect(foreign, Error::CardMismatch).await;
        let patient = forge.world.patient.card();
        let own = patient.card();
        let header = json!({"alg": "PS256", "typ": "hdms-card+jwt", "kid": own.iss});
        let forged = forge.sign(header, &serde_json::to_value(own).unwrap(), "stranger").await;
        let forged = forge.with(|claims| claims["card"] = json!(forged)).await;
        forge.expect(forged, Error::CardForged).await;
        let header = json!({"alg": "PS256", "typ": "hdms-card+jwt", "kid": "patient"});
        let forged = forge.sign(header, &serde_json::to_value(own).unwrap(), "patient").await;
        let forged = forge.with(|claims| claims["card"] = json!(forged)).await;
        forge.expect(forged, Error::CardForged).await;
    });
}

#[test]
fn expired_and_revoked_cards_and_stale_revocations_are_told_apart() {
    block_on(async {
        let mut forge = Forge::new().await;
        let operator = Operator::new(&forge.world.providers).unwrap();
        let listed = [forge.world.hospital.card().jwt().to_owned()];
        let revoked = [forge.world.patient.id().clone()];
        let documents = operator.documents(&listed, &revoked).await.unwrap();
        let root = forge.world.root.clone();
        let software = forge.software();
        let trust = Trust::verify(&documents, &root, None, BEGIN, &software).await.unwrap();
        let good = (*forge.world.hospital.trust()).clone();
        forge.world.hospital.set_trust(trust);
        let envelope = forge.envelope.clone();
        forge.expect(&envelope, Error::CardRevoked).await;
        forge.world.hospital.set_trust(good);
        forge.world.providers.clock.advance(90 * 24 * 3_600_000);
        forge.envelope = forge.with(|_| {}).await;
        forge.expect(&forge.envelope, Error::CardExpired).await;
    });
}

#[test]
fn a_stale_revocation_list_refuses_for_now_and_blames_nobody() {
    block_on(async {
        let mut forge = Forge::new().await;
        let operator = Operator::new(&forge.world.providers).unwrap();
        let patient = keys("patient", forge.randomness.clone()).unwrap();
        forge.world.providers.clock.advance(90 * 24 * 3_600_000 + 2000);
        let mut card = operator.claims(&patient, Role::Personal, "").await.unwrap();
        card.exp += 10 * 24 * 3600;
        let card = operator.sign(&card).await.unwrap();
        let now = forge.world.providers.clock.clone();
        let iat = hdms::provider::Clock::now(&now).seconds();
        forge.envelope = forge
            .with(|claims| {
                claims["card"] = json!(card);
                claims["iat"] = json!(iat);
                claims["exp"] = json!(iat + 60);
            })
            .await;
        let outcome = forge.world.hospital.receive::<HospitalCase>(forge.envelope.as_bytes());
        assert_eq!(outcome.await, Err(Error::NetworkStale));
        assert!(forge.quarantined().await.is_empty());
    });
}

#[test]
fn wrong_audience_time_type_and_role_are_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let patient = forge.world.patient.id().clone();
        let now = BEGIN.seconds();
        let cases: [(&str, Value, Error); 7] = [
            ("aud", json!(patient), Error::WrongAudience),
            ("iat", json!(now + CLOCK_SKEW + 10), Error::NotYetValid),
            ("exp", json!(now), Error::Expired),
            ("exp", json!(now + LIFETIME + 1), Error::Expired),
            ("type", json!("treatment/horoscope"), Error::UnknownType),
            ("type", json!("treatment/result"), Error::TypeNotForRole),
            ("body", json!({"record": "x"}), Error::BodyMalformed),
        ];
        for (claim, value, error) in cases {
            let envelope = forge.with(|claims| claims[claim] = value).await;
            forge.expect(envelope, error).await;
        }
        let envelope = forge.with(|claims| claims["extra"] = json!(1)).await;
        forge.expect(envelope, Error::EnvelopeMalformed).await;
    });
}

#[test]
fn a_message_of_an_unknown_case_is_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let envelope = forge
            .with(|claims| {
                claims["type"] = json!("treatment/dispute");
                claims["body"] =
                    json!({"entries": ["019b7985-7400-7000-8000-000000000009"], "reason": ""});
            })
            .await;
        forge.expect(envelope, Error::UnknownCase).await;
    });
}

#[test]
fn another_message_under_a_known_id_is_a_replay() {
    block_on(async {
        let forge = Forge::new().await;
        let good = forge.envelope.clone();
        forge.world.hospital.receive::<HospitalCase>(good.as_bytes()).await.unwrap();
        let other = forge.with(|_| {}).await;
        let outcome = forge.world.hospital.receive::<HospitalCase>(other.as_bytes()).await;
        assert_eq!(outcome, Err(Error::Replayed));
        assert_eq!(forge.quarantined().await, ["envelope/replayed"]);
    });
}

#[test]
fn documents_that_do_not_belong_together_are_refused() {
    block_on(async {
        let forge = Forge::new().await;
        let claims = forge.claims().await;
        let record = claims["body"]["record"].as_str().unwrap().to_owned();
        let bare = record.split_once('~').unwrap().0.to_owned() + "~";
        let envelope = forge.with(|claims| claims["body"]["record"] = json!(bare)).await;
        forge.expect(envelope, Error::RecordIncomplete).await;
        let other = Forge::new().await;
        let mut entry: Entry = endorsed_entry(&claims["body"]["endorsement"]);
        entry.verification_key = hdms::ledger::VerificationKey::of("another document");
        let patient = forge.keys("patient");
        let endorsement =
            VerifiedEndorsement::sign(&[entry], forge.world.patient.id(), BEGIN, &patient).await;
        let jwt = endorsement.unwrap().jwt().to_owned();
        let envelope = other.with(|claims| claims["body"]["endorsement"] = json!(jwt)).await;
        other.expect(envelope, Error::EntryMismatch).await;
    });
}

fn endorsed_entry(jwt: &Value) -> Entry {
    let payload = jwt.as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&hdms::base64url::decode(payload).unwrap()).unwrap();
    serde_json::from_value(claims["entries"][0].clone()).unwrap()
}

#[test]
fn older_network_documents_are_a_rollback_and_foreign_ones_forged() {
    block_on(async {
        let forge = Forge::new().await;
        let world = &forge.world;
        let software = forge.software();
        let trust = world.hospital.trust();
        let verify = async |documents: &_, root: &_, previous| {
            Trust::verify(documents, root, previous, BEGIN, &software).await.map(drop)
        };
        assert_eq!(verify(&world.documents, &world.root, Some(&*trust)).await, Ok(()));
        let stranger = forge.keys("stranger");
        let foreign = verify(&world.documents, stranger.public().0, None).await;
        assert_eq!(foreign, Err(Error::NetworkForged));
        let mut tampered = world.documents.clone();
        tampered.map = tampered.parameters.clone();
        assert_eq!(verify(&tampered, &world.root, None).await, Err(Error::NetworkForged));
        let late = Timestamp(BEGIN.0 + 366 * 24 * 3_600_000);
        let expired = Trust::verify(&world.documents, &world.root, None, late, &software).await;
        assert_eq!(expired.map(drop), Err(Error::NetworkForged));
        let patient = world.patient.card();
        let card = VerifiedCard::verify(patient.jwt(), &trust, BEGIN, &software).await;
        assert!(card.is_ok());
    });
}
