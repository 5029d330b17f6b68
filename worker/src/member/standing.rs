//! Whether the node may take part in its network: its card, and the version that it speaks.

use hdms::Error;
use hdms::card::{Role, Subkeys, VerifiedCard};
use hdms::doorman::{AdmissionRequest, Admitted, Challenge};
use hdms::ids::{MessageId, NodeId};
use hdms::json;
use hdms::network::{RENEWAL_PAUSE, Renewal, Trust};
use hdms::node::Platform;
use hdms::provider::{CLOCK_SKEW, Clock, Store};

use super::{CARD, Config, Member, put};
use crate::platform::{BrowserClock, BrowserRandomness};
use crate::transport;
use crate::webcrypto::{WebCryptoKeys, WebPrimitives};

impl Member {
    /// Why the node sends nothing now, if so: others would refuse it for good. It takes in and
    /// keeps what comes as ever.
    pub fn suspension(&self) -> Option<Error> {
        let (trust, card) = (self.node.trust(), self.node.card());
        trust.check_standing(&card, BrowserClock.now()).err()
    }

    /// What a person should know of the node's standing in the network, if anything.
    pub fn trouble(&self) -> Option<Error> {
        let suspension = self.suspension();
        let version = suspension.filter(|error| *error == Error::VersionTooOld);
        let split = self.split.get().then_some(Error::NetworkSplit);
        version.or(split).or(self.refusal.get()).or(suspension)
    }

    /// Asks the Doorman for a new card and uses it, if that is due ([`VerifiedCard::renewal`]). Without
    /// the Doorman the old card has to do.
    pub async fn renew(&self) -> Result<(), Error> {
        let (trust, card, now) = (self.node.trust(), self.node.card(), BrowserClock.now());
        let (keys, store) = (self.node.platform().keys(), self.node.platform().store());
        let newest = keys.public().1.thumbprint();
        if card.is_present_encryption_key(&newest) {
            keys.retire(store, card.card().iat, now).await?;
        }
        match card.renewal((&newest, keys.request_key()), store, &trust, now).await? {
            Renewal::NotDue => return Ok(()),
            Renewal::Revoked => return self.join_again().await,
            Renewal::Card => {}
            Renewal::CardAndKey => keys.renew(store).await?,
        }
        self.ask_for_card().await
    }

    /// Asks for a card whatever the present one says: the server seems to lack that, since its database was
    /// put back to before it was issued. Not each time that the server says so.
    pub async fn join_again(&self) -> Result<(), Error> {
        let (now, last) = (BrowserClock.now(), self.joined.get());
        if last.is_some_and(|last| now.0.abs_diff(last.0) < RENEWAL_PAUSE) {
            return Ok(());
        }
        let asked = self.ask_for_card().await;
        let transient = asked.is_err_and(Error::is_transient);
        self.joined.set((!transient).then_some(now));
        asked
    }

    async fn ask_for_card(&self) -> Result<(), Error> {
        let trust = self.node.trust();
        let platform = self.node.platform();
        let asked = admission(&self.config, platform.keys(), &trust).await;
        let refused = asked.as_ref().err().copied();
        let told = [
            Error::AdmissionRefused,
            Error::CardRevoked,
            Error::ChallengeForged,
            // By the clock of the device, which may be set.
            Error::NotYetValid,
        ];
        self.refusal.set(refused.filter(|error| told.contains(error)));
        let card = asked?;
        platform.store().commit(vec![put(CARD, card.jwt().into())]).await?;
        self.node.set_card(card)
    }
}

/// Proves possession of the node's keys to the Doorman. Answers the card.
pub(super) async fn admission(
    config: &Config,
    keys: &WebCryptoKeys,
    trust: &Trust,
) -> Result<VerifiedCard, Error> {
    let (signing_key, encryption) = keys.public();
    let (node, iat): (NodeId, _) =
        (signing_key.thumbprint().parse()?, BrowserClock.now().seconds());
    let request = keys.request_key().clone();
    let subkeys = Subkeys { iss: node.clone(), iat, encryption, request };
    let request = AdmissionRequest {
        iss: node.clone(),
        iat,
        jti: MessageId::new(&BrowserClock, &BrowserRandomness)?,
        role: Role::Personal,
        name: String::new(),
        endpoint: None,
        about: None,
        signing_key: signing_key.clone(),
        subkeys: subkeys.sign(keys).await?,
        changes: Vec::new(),
        log: None,
        // It has the signing key that it had from the beginning.
        card: None,
    };
    let jwt = request.sign(keys).await?;
    let url = format!("{}/doorman/admissions", config.server);
    let asked = transport::post(&url, "application/jwt", jwt.clone(), None).await?;
    let (challenge, primitives): (Challenge, _) = (asked.json()?, WebPrimitives::default());
    let answer = challenge.answer(&request, jwt, keys, &primitives).await?;
    let answer = String::from_utf8(json::write(&answer)?).map_err(|_| Error::CryptoFailed)?;
    let url = format!("{}/doorman/answers", config.server);
    let admitted: Admitted =
        transport::post(&url, "application/json", answer, None).await?.json()?;
    let card = VerifiedCard::verify_chain(&admitted.card, trust, &primitives).await?;
    // One dated ahead would keep the key that it names from ever being renewed.
    let is_own = *card.id() == node && card.card().iat <= BrowserClock.now().seconds() + CLOCK_SKEW;
    if is_own { Ok(card) } else { Err(Error::CardMismatch) }
}
