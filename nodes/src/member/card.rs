//! A member's card: when it is to be renewed, and how.

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::doorman::AdmissionRequest;
use hdms::ids::MessageId;
use hdms::network::{Renewal, Trust};
use hdms::provider::{CLOCK_SKEW, Clock, Timestamp};

use super::MemberConfig;
use crate::base::http::client::Client;
use crate::base::http::problem::Problem;
use crate::base::keys::{AwsKeys, AwsPrimitives};
use crate::base::store::SqliteStore;
use crate::base::system::{NodeClock, SystemRandomness};

/// Key of [`hdms::provider::Table::Meta`].
pub(super) const CARD: &str = "member/card";

/// Whether a card is the node's, and names its present signing key.
pub(super) fn is_of(card: &VerifiedCard, keys: &AwsKeys) -> bool {
    card.id() == keys.node() && card.card().signing_key == *keys.public().0
}

/// Whether a card names the node's newest encryption key. It does not after a renewal that broke off,
/// nor when it names no subkeys.
pub(super) fn names_newest_key(card: &VerifiedCard, keys: &AwsKeys) -> bool {
    card.is_present_encryption_key(&keys.public().1.thumbprint())
}

/// What is due by the card itself: [`VerifiedCard::renewal`].
pub(super) async fn renewal(
    card: &VerifiedCard,
    (keys, store): (&AwsKeys, &SqliteStore),
    trust: &Trust,
    now: Timestamp,
) -> Result<Renewal, Error> {
    let subkeys = (&*keys.public().1.thumbprint(), keys.request_key());
    card.renewal(subkeys, store, trust, now).await
}

/// Whether another card is to be asked for: by this one itself, or when the node was given another name
/// or address.
pub(super) async fn is_due(
    card: &VerifiedCard,
    config: &MemberConfig,
    own: (&AwsKeys, &SqliteStore),
    trust: &Trust,
    now: Timestamp,
) -> Result<bool, Error> {
    let by_itself = renewal(card, own, trust, now).await? != Renewal::NotDue;
    let card = card.card();
    Ok(by_itself || card.name != config.name || card.endpoint != config.endpoint)
}

/// Both calls of an admission. Answers the card's JWT. A Doorman who does not know the node's present
/// signing key is shown its last card. Errors: those of the Doorman, with the operator's reason.
pub(super) async fn ask(
    own: (&MemberConfig, &AwsKeys),
    client: &Client,
    clock: &NodeClock,
    last: Option<&VerifiedCard>,
) -> Result<String, Problem> {
    match (ask_with(own, client, clock, None).await, last) {
        (Err(problem), Some(last)) if problem.error == Error::CardSuperseded => {
            ask_with(own, client, clock, Some(last.jwt().to_owned())).await
        }
        (asked, _) => asked,
    }
}

async fn ask_with(
    (config, keys): (&MemberConfig, &AwsKeys),
    client: &Client,
    clock: &NodeClock,
    card: Option<String>,
) -> Result<String, Problem> {
    let request = AdmissionRequest {
        iss: keys.node().clone(),
        iat: clock.now().seconds(),
        jti: MessageId::new(clock, &SystemRandomness)?,
        role: config.role,
        name: config.name.clone(),
        endpoint: config.endpoint.clone(),
        about: config.about.clone(),
        signing_key: keys.public().0.clone(),
        subkeys: keys.stated_subkeys(clock.now()).await?,
        changes: keys.changes().to_vec(),
        log: config.log,
        card,
    };
    let jwt = request.sign(keys).await?;
    let challenge = client.ask_admission(&config.server, jwt.clone()).await?;
    let answer = challenge.answer(&request, jwt, keys, &AwsPrimitives).await?;
    Ok(client.answer_challenge(&config.server, &answer).await?.card)
}

/// The card that the Doorman gave. Errors: those of [`VerifiedCard::verify_chain`],
/// [`Error::CardMismatch`] when it is another node's or dated ahead.
pub(super) async fn checked(
    jwt: &str,
    keys: &AwsKeys,
    trust: &Trust,
    now: Timestamp,
) -> Result<VerifiedCard, Error> {
    let card = VerifiedCard::verify_chain(jwt, trust, &AwsPrimitives).await?;
    // One dated ahead would keep the key that it names from ever being renewed.
    let is_due_one_day = card.card().iat <= now.seconds().saturating_add(CLOCK_SKEW);
    if is_of(&card, keys) && is_due_one_day { Ok(card) } else { Err(Error::CardMismatch) }
}
