//! A patient wants every list at a hospital to be as long as a book: texts have a length.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::CaseId;
use hdms::treatment::message::{MAX_KINDS, MAX_TEXT};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::World;

fn request(reason: usize, kinds: usize, kind: usize) -> TreatmentRequest {
    let may_read = vec!["x".repeat(kind); kinds];
    TreatmentRequest { reason: "x".repeat(reason), date: None, may_read }
}

#[test]
fn a_request_is_no_longer_than_it_may_be() {
    block_on(async {
        let world = World::new(3).await.unwrap();
        let (patient, hospital) = (world.patient.id(), world.hospital.id());
        let read = |request: &TreatmentRequest| {
            TreatmentRequest::from_fhir(&request.to_fhir(patient, hospital))
        };
        let good = request(MAX_TEXT, MAX_KINDS, 64);
        assert_eq!(read(&good), Ok(good));
        for long in [request(MAX_TEXT + 1, 0, 0), request(1, MAX_KINDS + 1, 1), request(1, 1, 65)] {
            assert_eq!(read(&long), Err(Error::TextTooLong));
            let case: CaseId = "019b7985-7400-7000-8000-000000000001".parse().unwrap();
            let asked = world.patient.ask(&case, hospital, long).await;
            assert_eq!(asked.err(), Some(Error::TextTooLong));
        }
        assert!(world.mail.is_empty());
    });
}
