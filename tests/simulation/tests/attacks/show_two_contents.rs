//! One signature over two contents, each shown to another reader: by a hospital that wants to have said
//! both, or together with its patient. The notary logs one verification key for the two.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::MessageType;
use hdms::ids::MessageId;
use hdms::jose::jws::sign_ps256;
use hdms::ledger::{VerificationKey, VerifiedEndorsement};
use hdms::node::{Node, Platform};
use hdms::provider::Clock;
use hdms::record::{KIND, sdjwt};
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::HospitalCase;
use hdms_simulation::{Simulated, World};
use serde_json::{Map, Value, json};

use crate::stop_a_hospital::{answer, asked, data, send, signed};
use crate::{case, id};

/// The disclosures of a two-faced record: two members of one name, then its claims.
const FACES: [usize; 2] = [0, 1];
const SEED: usize = 6;

/// A record by `author` about the world's patient without the disclosures of these numbers.
async fn two_faced(world: &World, author: &Node<Simulated>, withheld: &[usize]) -> String {
    let randomness = SeededRandomness::new(1);
    let mut concealer = sdjwt::Concealer::new(&randomness, 10_000).unwrap();
    let faces =
        ["active", "cancelled"].map(|face| concealer.member("status", face.into()).unwrap());
    let mut content = Map::new();
    content.insert("resourceType".into(), "Basic".into());
    let seed = json!(concealer.seed().as_str());
    let (kinds, patient) = (json!(["Basic"]), json!(world.patient.id()));
    let said = [("sub", patient), ("case", json!(case())), ("kinds", kinds), ("codes", json!([]))];
    let said = said.into_iter().chain([("decoys", seed)]);
    let digests = said.map(|(name, value)| concealer.member(name, value).unwrap());
    let mut digests: Vec<_> = digests.collect();
    concealer.fill_up(&mut digests, 8);
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(author.id()));
    claims.insert("iat".into(), 1_767_225_600.into());
    claims.insert("fhir".into(), sdjwt::object(content, faces.into()).into());
    let (kid, keys) = (author.id().as_ref(), author.platform().keys());
    let claims = sdjwt::object(claims, digests);
    let jwt = sign_ps256(KIND.typ, kid, &claims, keys).await.unwrap();
    let compact = concealer.compact(&jwt);
    let disclosures = compact.split_terminator('~').skip(1).enumerate();
    let shown = disclosures.filter(|(number, _)| !withheld.contains(number));
    sdjwt::compact(&jwt, shown.map(|(_, disclosure)| disclosure))
}

/// A hand-in of this record alone, endorsed as it should be.
async fn result(world: &World, record: &str) -> (MessageType, Value) {
    let state: HospitalCase = world.hospital.case(&case()).await.unwrap();
    let key = VerificationKey::of(record.split('~').next().unwrap());
    let entry = state.result_entry(id(3), key);
    let results = json!([{ "entry": entry.id, "record": record }]);
    let (now, keys) = (world.providers.clock.now(), world.hospital.platform().keys());
    let endorsed =
        VerifiedEndorsement::sign(&[entry], world.hospital.id(), now, keys).await.unwrap();
    let (hand_in, endorsement) = (id::<MessageId>(4), endorsed.jwt());
    let body = json!({
        "hand_in": hand_in, "of": 1, "results": results, "endorsement": endorsement,
    });
    (MessageType::MedicalResult, body)
}

#[test]
fn a_patient_takes_no_result_of_which_something_is_withheld() {
    block_on(async {
        let world = asked(30).await;
        for withheld in [vec![FACES[0]], vec![FACES[1]], vec![FACES[0], SEED], vec![2, FACES[0]]] {
            let record = two_faced(&world, &world.hospital, &withheld).await;
            let taken = answer(&world, result(&world, &record).await, 1).await;
            assert_eq!(taken.err(), Some(Error::RecordIncomplete), "{withheld:?}");
        }
    });
}

#[test]
fn a_hospital_is_not_told_that_it_has_all_of_a_record_when_it_has_a_part() {
    block_on(async {
        let world = asked(31).await;
        for face in FACES {
            let record = two_faced(&world, &world.patient, &[face]).await;
            let taken = send(&world, &world.patient, data(2, &record), 1).await;
            assert_eq!(taken.err(), Some(Error::RecordIncomplete));
        }
        let record = two_faced(&world, &world.patient, &[FACES[1], SEED]).await;
        assert!(send(&world, &world.patient, data(2, &record), 1).await.is_ok());
        let shared = world.hospital.shared(&case(), &id(2)).await.unwrap();
        let shown = world.hospital.open_shared(&shared[0]).await.unwrap();
        assert!(!shown.is_whole(), "it is shown as a part");
    });
}

#[test]
fn nobody_issues_records_of_the_format_that_lets_digests_go_undisclosed() {
    block_on(async {
        let world = asked(32).await;
        let former = async |author| {
            let randomness = SeededRandomness::new(2);
            let concealer = sdjwt::Concealer::new(&randomness, 10_000).unwrap();
            signed(author, json!({ "resourceType": "Basic" }), json!({}), concealer).await
        };
        let taken = answer(&world, result(&world, &former(&world.hospital).await).await, 1).await;
        assert_eq!(taken.err(), Some(Error::RecordFormer));
        let (stranger, secret) = (world.other_patient().await.unwrap(), "A".repeat(43));
        let request = json!({
            "record": former(&stranger).await, "endorsement": "x", "name": "", "case_secret": secret,
            "manifest": "x",
        });
        let taken = send(&world, &stranger, (MessageType::TreatmentRequest, request), 9).await;
        assert_eq!(taken.err(), Some(Error::RecordFormer));
    });
}
