//! Somebody passes off one thing that a key has signed as another: each signed form is tried in the
//! place of each other, and each form's content under every other form's name.

mod scene;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::log::checkpoint::{cosignature, log_signature};
use hdms::log::{Checkpoint, SignedCheckpoint};
use hdms::network::origin;
use hdms_simulation::World;
use hdms_simulation::log::LogSigner;

use scene::{FORMS, Form, OTHERS, Scene};

#[test]
fn each_signed_form_is_taken_in_its_own_place_and_in_no_other() {
    block_on(async {
        let scene = Scene::set().await;
        for (form, _) in FORMS {
            let genuine = scene.genuine(form).await;
            for (place, _) in FORMS {
                let taken = scene.takes(place, &genuine).await;
                assert_eq!(taken.is_ok(), place == form, "{form:?} as {place:?}: {taken:?}");
            }
        }
    });
}

#[test]
fn the_content_of_a_form_under_another_name_is_refused_though_its_key_has_signed_it() {
    block_on(async {
        let scene = Scene::set().await;
        for (form, own) in FORMS {
            let genuine = scene.genuine(form).await;
            let again = scene.renamed(form, &genuine, own).await;
            assert_eq!(scene.takes(form, &again).await, Ok(()), "{form:?} signed again");
            let names = FORMS.iter().map(|(_, typ)| *typ).chain(OTHERS);
            for typ in names.filter(|typ| *typ != own) {
                let renamed = scene.renamed(form, &genuine, typ).await;
                assert!(scene.takes(form, &renamed).await.is_err(), "{form:?} as {typ:?}");
            }
        }
    });
}

/// Nor does a signing key sign requests.
#[test]
fn what_a_request_key_has_signed_is_a_request_proof_and_nothing_else() {
    block_on(async {
        let scene = Scene::set().await;
        let proof = scene.genuine(Form::Proof).await;
        for (form, own) in FORMS {
            let genuine = scene.genuine(form).await;
            let signed = scene.signed_as_request(form, &genuine, own).await;
            let taken = scene.takes(form, &signed).await;
            assert_eq!(taken.is_ok(), form == Form::Proof, "{form:?}: {taken:?}");
            let renamed = scene.signed_as_request(Form::Proof, &proof, own).await;
            let taken = scene.takes(form, &renamed).await;
            assert_eq!(taken.is_ok(), form == Form::Proof, "a proof as {form:?}: {taken:?}");
        }
        let taken = scene.takes(Form::Proof, &scene.proof_by_signing_key().await).await;
        assert_eq!(taken, Err(Error::RequestProofInvalid));
    });
}

#[test]
fn a_logs_signature_is_no_cosignature_and_a_cosignature_no_logs_signature() {
    block_on(async {
        let world = World::new(2).await.unwrap();
        let (notary, software) = (digest("a notary").parse().unwrap(), world.software());
        let signer = LogSigner::of(&notary).unwrap();
        let (log, witness) = (signer.listed().log_key(), signer.listed().witness_key());
        let checkpoint = Checkpoint { origin: origin(&notary), size: 7, root: [7; 32] };
        let signed = signer.sign(checkpoint.clone());
        let cosigned = signer.cosign(&signed, 1);
        let bytes = |signature: &[u8]| signature[signature.len() - 64..].try_into().unwrap();
        let by_log = bytes(signed.note().signature_of(&log).unwrap());
        let by_witness = bytes(&cosigned.signature);

        let as_log = SignedCheckpoint::new(checkpoint, log_signature(&log, by_witness));
        assert_eq!(as_log.verify_log(&log, &software).await, Err(Error::LogForged));
        let mut as_witness = signed.clone();
        as_witness.add(cosignature(&witness, 1, by_log));
        let time = as_witness.cosignature_time(&witness, &software).await;
        assert_eq!(time, Err(Error::LogForged));
        // Also where one key was used for both.
        let same = hdms::log::NoteKey { key: witness.key, ..log.clone() };
        assert_eq!(as_log.verify_log(&same, &software).await, Err(Error::LogForged));
    });
}
