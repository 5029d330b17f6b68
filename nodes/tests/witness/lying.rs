//! A witness that answers whatever it likes: nothing of it gets into a receipt.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use hdms::Error;
use hdms::log::checkpoint::{cosignature, cosigned_text, log_signature};
use hdms::log::{NoteKey, NoteSignature, SignedCheckpoint};
use hdms::network::NotaryLog;
use hdms::provider::Clock;
use hdms_nodes::base::system::SystemClock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::common::Net;
use crate::depositing::{Depositors, refused};
use crate::played::PlayedLog;
use crate::scene::{meets, network, url};

#[derive(Clone, Copy, Debug)]
enum Says {
    Nothing,
    AnotherText,
    SignedByAnotherKey,
    InAnothersName,
    AsALog,
    ALargerTree,
    AnotherSizeEachTime(u64),
    NoProof,
    ThatItIsBroken,
    At(u64),
    TheTruth,
}

struct Witness {
    log: PlayedLog,
    key: NoteKey,
    says: Mutex<Says>,
}

impl Witness {
    fn line(&self, text: &str, by: impl Fn(&[u8]) -> [u8; 64]) -> NoteSignature {
        self.line_at(SystemClock.now().seconds(), text, by)
    }

    fn line_at(&self, time: u64, text: &str, by: impl Fn(&[u8]) -> [u8; 64]) -> NoteSignature {
        cosignature(&self.key, time, by(cosigned_text(text, time).as_bytes()))
    }

    fn answer(&self, asked: &str) -> (StatusCode, String) {
        let checkpoint = SignedCheckpoint::parse(asked.split_once("\n\n").unwrap().1).unwrap();
        let text = &checkpoint.note().text;
        let sign = |message: &[u8]| self.log.keys.sign_as_witness(message).unwrap();
        let sign_as_log = |message: &[u8]| self.log.keys.sign_as_log(message).unwrap();
        let mut says = self.says.lock().unwrap();
        let line = match &mut *says {
            Says::Nothing => return (StatusCode::OK, String::new()),
            Says::AnotherText => self.line(&format!("{text}more\n"), sign),
            Says::SignedByAnotherKey => self.line(text, sign_as_log),
            Says::InAnothersName => {
                NoteSignature { name: "hdms-witness/another".into(), ..self.line(text, sign) }
            }
            Says::AsALog => log_signature(&self.log.key, sign_as_log(text.as_bytes())),
            Says::ALargerTree => return (StatusCode::CONFLICT, "4611686018427387904\n".into()),
            Says::AnotherSizeEachTime(size) => {
                *size += 1;
                return (StatusCode::CONFLICT, format!("{}\n", *size % 2));
            }
            Says::NoProof => return (StatusCode::UNPROCESSABLE_ENTITY, String::new()),
            Says::ThatItIsBroken => return (StatusCode::INTERNAL_SERVER_ERROR, "?".into()),
            Says::At(time) => self.line_at(*time, text, sign),
            Says::TheTruth => self.line(text, sign),
        };
        (StatusCode::OK, line.to_line())
    }
}

async fn add_checkpoint(
    State(witness): State<Arc<Witness>>,
    asked: String,
) -> (StatusCode, String) {
    witness.answer(&asked)
}

/// A witness of the network of `net` that says what it likes, at first nothing.
async fn liar(net: &Net) -> (Arc<Witness>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let log = PlayedLog::admitted_at(net, 2, &endpoint).await;
    let listed = NotaryLog { notary: log.id.clone(), keys: log.keys.public(), until: None };
    let says = Mutex::new(Says::Nothing);
    let witness = Arc::new(Witness { key: listed.witness_key(), log, says });
    let routes = Router::new().route("/witness/add-checkpoint", post(add_checkpoint));
    let routes = routes.with_state(witness.clone());
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (witness, serving)
}

#[tokio::test]
async fn a_witness_that_lies_about_the_time_keeps_no_log_from_being_co_signed() {
    let (net, mut notaries) = network(1, 2).await;
    let people = Depositors::of(&net).await;
    let (_honest, notary) = (notaries.pop().unwrap(), notaries.pop().unwrap());
    let (witness, serving) = liar(&net).await;
    meets(&notary, 3).await;
    let now = net.now().seconds();
    people.logged(&notary, 1).await;
    for time in [1000, now - 3600, now + 3600, u64::from(u32::MAX)] {
        *witness.says.lock().unwrap() = Says::At(time);
        let receipt = people.send(&notary, people.entry(&notary).await).await.unwrap();
        let verified = people.verified(&receipt).await.unwrap();
        assert!(!verified.witnesses().contains(&witness.log.id), "{time}");
    }
    serving.abort();
}

#[tokio::test]
async fn only_a_cosignature_that_holds_is_used() {
    let (net, mut notaries) = network(1, 1).await;
    let people = Depositors::of(&net).await;
    let notary = notaries.remove(0);
    let (witness, serving) = liar(&net).await;
    meets(&notary, 2).await;
    let deposit = people.entry(&notary).await;
    for lie in [
        Says::Nothing,
        Says::AnotherText,
        Says::SignedByAnotherKey,
        Says::InAnothersName,
        Says::AsALog,
        Says::ALargerTree,
        Says::AnotherSizeEachTime(0),
        Says::NoProof,
        Says::ThatItIsBroken,
    ] {
        *witness.says.lock().unwrap() = lie;
        let outcome = people.send(&notary, deposit.clone()).await;
        assert_eq!(outcome, refused(Error::WitnessesMissing), "{lie:?}");
    }
    let published = reqwest::get(format!("{}/log/checkpoint", url(&notary))).await.unwrap();
    assert_eq!(published.status(), 404);
    *witness.says.lock().unwrap() = Says::TheTruth;
    let receipt = people.send(&notary, deposit).await.unwrap();
    let verified = people.verified(&receipt).await.unwrap();
    assert_eq!(verified.witnesses(), std::slice::from_ref(&witness.log.id));
    serving.abort();
}
