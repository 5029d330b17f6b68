//! Somebody has recorded what travels, and hopes that it goes on under a key that it gets later.

use hdms::Error;
use hdms::card::{Role, Subkeys, VerifiedCard};
use hdms::doorman::AdmissionRequest;
use hdms::jose::jwe;
use hdms::mailbox::{Delivery, DeliveryAnswer};
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives};
use hdms_nodes::base::system::SystemRandomness;

use crate::common::{Net, keys, message_id};

/// The personal node with the keys 0 asks for a card with the encryption key of `of`, which it says, or
/// `signer` says, to be its own.
async fn renewed(net: &Net, of: &AwsKeys, signer: &AwsKeys) -> Result<VerifiedCard, Error> {
    net.clock.advance(1000);
    let request = net.request(keys(0), Role::Personal, "").await;
    let (iss, iat) = (request.iss.clone(), net.now().seconds());
    let (encryption, own) = (of.public().1, keys(0).request_key().clone());
    let stated = Subkeys { iss, iat, encryption, request: own };
    let request = AdmissionRequest { subkeys: stated.sign(signer).await.unwrap(), ..request };
    let jwt = request.sign(keys(0)).await.unwrap();
    let challenge = net.client.ask_admission(&net.url, jwt.clone()).await?;
    let answer = challenge.answer(&request, jwt, of, &AwsPrimitives).await?;
    let card = net.client.answer_challenge(&net.url, &answer).await?.card;
    VerifiedCard::vouched(&card, &AwsPrimitives).await
}

async fn sealed_to(card: &VerifiedCard) -> Delivery {
    let key = card.encryption_key().unwrap();
    let sealing = jwe::encrypt(vec![7; 99], Some("JWT"), key, &AwsPrimitives, &SystemRandomness);
    Delivery { to: card.id().clone(), id: message_id(), envelope: sealing.await.unwrap() }
}

#[tokio::test]
async fn no_mailbox_takes_what_is_sealed_to_a_former_key_and_the_sender_gets_the_newest_card() {
    let net = Net::start().await;
    let (hospital, person) = (net.hospital(2).await, net.person(0).await);
    let waiting = sealed_to(&person.card).await;
    let deliver = async |delivery: &Delivery| {
        net.deliver(hospital.signer(), vec![delivery.clone()]).await.unwrap().remove(0)
    };
    assert_eq!(deliver(&waiting).await, DeliveryAnswer::Accepted(1));
    let newer = renewed(&net, keys(1), keys(0)).await.unwrap();
    assert_ne!(newer.encryption_key(), person.card.encryption_key());
    let late = sealed_to(&person.card).await;
    assert_eq!(deliver(&late).await, DeliveryAnswer::FormerKey(newer.jwt().to_owned()));
    assert_eq!(deliver(&waiting).await, DeliveryAnswer::Accepted(1), "kept before");
    let anew = Delivery { id: late.id, ..sealed_to(&newer).await };
    assert_eq!(deliver(&anew).await, DeliveryAnswer::Accepted(2));
    let page = net.client.mailbox(&net.url, person.signer(), 0, 10).await.unwrap();
    assert_eq!(page.messages.len(), 2);
    // The newest counts, and a repeated renewal with the same key is none.
    let again = renewed(&net, keys(1), keys(0)).await.unwrap();
    assert_eq!(again.encryption_key(), newer.encryption_key());
    assert_eq!(deliver(&anew).await, DeliveryAnswer::Accepted(2));
}

#[tokio::test]
async fn nobody_has_the_doorman_name_a_key_by_anothers_word_or_without_having_it() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let unproven = Some(Error::PossessionUnproven);
    assert_eq!(renewed(&net, keys(1), keys(1)).await.err(), unproven, "by another's word");
    // A statement about another's key, whose challenge the node can't open.
    let request = net.request(keys(0), Role::Personal, "").await;
    let (encryption, own) = (keys(1).public().1, keys(0).request_key().clone());
    let stated = Subkeys { iss: person.id.clone(), iat: 0, encryption, request: own };
    let request = AdmissionRequest { subkeys: stated.sign(keys(0)).await.unwrap(), ..request };
    let jwt = request.sign(keys(0)).await.unwrap();
    let challenge = net.client.ask_admission(&net.url, jwt.clone()).await.unwrap();
    let answer = challenge.answer(&request, jwt, keys(0), &AwsPrimitives).await;
    assert_eq!(answer.err(), Some(Error::ChallengeForged));
}
