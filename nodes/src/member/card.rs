//! A member's card: when it is to be renewed, and how.

use hdms::Error;
use hdms::card::{LIFETIME, VerifiedCard};
use hdms::doorman::AdmissionRequest;
use hdms::ids::MessageId;
use hdms::network::Trust;
use hdms::provider::{Clock, Timestamp};

use super::MemberConfig;
use crate::client::Client;
use crate::keys::{AwsKeys, AwsPrimitives};
use crate::problem::Problem;
use crate::system::{NodeClock, SystemRandomness};

/// Key of [`hdms::provider::Table::Meta`].
pub(super) const CARD: &str = "member/card";

/// Whether a card names the node's present keys.
pub(super) fn is_of(card: &VerifiedCard, keys: &AwsKeys) -> bool {
    let card = card.card();
    card.sub == *keys.node() && (&card.signing_key, &card.encryption_key) == keys.public()
}

/// Whether a card is to be renewed: from two thirds of its life on, when it does not count any more,
/// or when the node was given another name or address.
pub(super) fn is_due(
    card: &VerifiedCard,
    config: &MemberConfig,
    trust: &Trust,
    now: Timestamp,
) -> bool {
    let young = now.seconds() < card.card().iat + LIFETIME * 2 / 3;
    let counts = !matches!(
        trust.check_standing(card, now),
        Err(Error::CardForged | Error::CardExpired | Error::CardRevoked | Error::CardSuperseded)
    );
    let card = card.card();
    !(young && counts && card.name == config.name && card.endpoint == config.endpoint)
}

/// Both calls of an admission. Answers the card's JWT. Errors: those of the Doorman, with the
/// operator's reason.
pub(super) async fn ask(
    config: &MemberConfig,
    keys: &AwsKeys,
    client: &Client,
    clock: &NodeClock,
) -> Result<String, Problem> {
    let (signing_key, encryption_key) = keys.public();
    let request = AdmissionRequest {
        iss: keys.node().clone(),
        iat: clock.now().seconds(),
        jti: MessageId::new(clock, &SystemRandomness)?,
        role: config.role,
        name: config.name.clone(),
        endpoint: config.endpoint.clone(),
        about: config.about.clone(),
        signing_key: signing_key.clone(),
        encryption_key: encryption_key.clone(),
        changes: keys.changes().to_vec(),
        log: config.log,
    };
    let jwt = request.sign(keys).await?;
    let challenge = client.ask_admission(&config.server, jwt.clone()).await?;
    let answer = challenge.answer(&request, jwt, keys, &AwsPrimitives).await?;
    Ok(client.answer_challenge(&config.server, &answer).await?.card)
}

/// The card that the Doorman gave. Errors: those of [`VerifiedCard::verify_chain`],
/// [`Error::CardMismatch`] when it is another node's.
pub(super) async fn checked(
    jwt: &str,
    keys: &AwsKeys,
    trust: &Trust,
) -> Result<VerifiedCard, Error> {
    let card = VerifiedCard::verify_chain(jwt, trust, &AwsPrimitives).await?;
    if is_of(&card, keys) { Ok(card) } else { Err(Error::CardMismatch) }
}
