//! Envelopes: what travels between nodes (docs/architecture.md). A signed JWT inside an encrypted one,
//! made by [`seal`], opened by [`Sealed`], [`Decrypted`] and [`Opened`] in this order, as the
//! checks go.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base64url::digest;
use crate::card::{self, Role, VerifiedCard};
use crate::error::Error;
use crate::ids::{CaseId, MessageId, NodeId};
use crate::jose::jwe;
use crate::jose::jws::{self, Compact, Kind, Unverified};
use crate::json;
use crate::network::Trust;
use crate::padding;
use crate::provider::{CLOCK_SKEW, Clock, NodeKeys, Primitives, Randomness, Timestamp};

/// Largest envelope, bytes.
pub const MAX_BYTES: usize = 1_048_576;

/// How long a message waits for its recipient: 30 days, in seconds.
pub const LIFETIME: u64 = 30 * 24 * 3600;

/// A message.
pub const KIND: Kind = Kind { typ: "hdms+jwt", longest: MAX_BYTES };

macro_rules! message_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal from $($role:ident)|+;)+) => {
        /// What a message is. The name on the wire is in each one's description.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum MessageType {
            $($(#[$doc])* #[doc = concat!("`", $text, "`")] $name,)+
        }

        impl MessageType {
            /// Every type.
            pub const ALL: &[MessageType] = &[$(MessageType::$name,)+];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(MessageType::$name => $text,)+ }
            }

            /// Which roles may send it.
            pub fn senders(self) -> &'static [Role] {
                match self { $(MessageType::$name => &[$(Role::$role),+],)+ }
            }
        }
    };
}

message_types! {
    /// Steps 2-3: a patient asks a hospital for treatment.
    TreatmentRequest = "treatment/request" from Personal;
    /// Step 10: the hospital approves.
    TreatmentApproval = "treatment/approval" from Institution;
    /// Step 10: the hospital declines.
    TreatmentRefusal = "treatment/refusal" from Institution;
    /// Step 11: the hospital asks for health data.
    DataRequest = "treatment/data-request" from Institution;
    /// Step 12: the patient shares records.
    Data = "treatment/data" from Personal;
    /// Step 12: the patient shares none.
    DataRefusal = "treatment/data-refusal" from Personal;
    /// Steps 14-18: the hospital hands over a medical result.
    MedicalResult = "treatment/result" from Institution;
    /// Steps 19-20: the patient confirms it.
    Confirmation = "treatment/confirmation" from Personal;
    /// Step 19: the patient disputes it.
    Dispute = "treatment/dispute" from Personal;
    /// Steps 9, 20 and 21: a participant deposits entries at the notary.
    Deposit = "notary/deposit" from Personal | Institution;
    /// Trading, step 13: asks a notary for the verification keys of entries.
    Query = "notary/query" from Personal | Institution;
    /// Trading, step 15: the notary's answer.
    Answer = "notary/answer" from Notary;
}

impl MessageType {
    /// [`Error::UnknownType`].
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or(Error::UnknownType)
    }
}

/// The claims of the signed JWT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
struct MessageClaims {
    iss: NodeId,
    aud: NodeId,
    iat: u64,
    exp: u64,
    jti: MessageId,
    thd: CaseId,
    #[serde(rename = "type")]
    kind: String,
    body: Value,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    card: Option<String>,
}

/// A message to be sealed.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Who seals it.
    pub from: &'a VerifiedCard,
    /// To whom.
    pub to: &'a VerifiedCard,
    /// The case (`thd`).
    pub case: &'a CaseId,
    /// What it is.
    pub kind: MessageType,
    /// The type's members, see docs/protocol.md.
    pub body: Value,
}

/// A message as it travels, and what of it stays the same when it is sealed to another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The message's id.
    pub id: MessageId,
    /// The signed JWT.
    pub signed: String,
    /// The compact JWE around it.
    pub compact: String,
}

/// Signs and encrypts a message. Answers the message's id and the compact JWE. Errors as [`enclose`].
pub async fn seal(
    message: Message<'_>,
    keys: &impl NodeKeys,
    primitives: &impl Primitives,
    clock: &impl Clock,
    randomness: &impl Randomness,
) -> Result<(MessageId, String), Error> {
    let envelope = enclose(message, keys, primitives, clock, randomness).await?;
    Ok((envelope.id, envelope.compact))
}

/// Signs and encrypts a message. The sender's card goes with messages to those who can't look it up,
/// which is with all of a personal node, and of a node that has changed its keys: the card that they
/// know may be the former one. [`Error::EnvelopeTooLarge`].
pub async fn enclose(
    message: Message<'_>,
    keys: &impl NodeKeys,
    primitives: &impl Primitives,
    clock: &impl Clock,
    randomness: &impl Randomness,
) -> Result<Envelope, Error> {
    let jti = MessageId::new(clock, randomness)?;
    let iat = clock.now().seconds();
    let begins = [MessageType::TreatmentRequest, MessageType::Deposit, MessageType::Query];
    let own = message.from.card();
    let with_card =
        begins.contains(&message.kind) || own.role == Role::Personal || !own.changes.is_empty();
    let claims = MessageClaims {
        iss: message.from.id().clone(),
        aud: message.to.id().clone(),
        iat,
        exp: iat + LIFETIME,
        jti: jti.clone(),
        thd: message.case.clone(),
        kind: message.kind.name().into(),
        body: message.body,
        card: with_card.then(|| message.from.jwt().to_owned()),
    };
    let text = padding::pad(json::write(&claims)?);
    let signed = jws::sign_ps256_text(KIND.typ, message.from.id().as_ref(), &text, keys).await?;
    let compact = seal_signed(&signed, message.to, primitives, randomness).await?;
    Ok(Envelope { id: jti, signed, compact })
}

/// Encrypts a signed message to the encryption key of this card, also anew: it stays the same
/// message. [`Error::EnvelopeTooLarge`].
pub async fn seal_signed(
    signed: &str,
    to: &VerifiedCard,
    primitives: &impl Primitives,
    randomness: &impl Randomness,
) -> Result<String, Error> {
    let (plaintext, recipient) = (signed.as_bytes().to_vec(), to.encryption_key()?);
    let compact = jwe::encrypt(plaintext, Some("JWT"), recipient, primitives, randomness).await?;
    if compact.len() > MAX_BYTES { Err(Error::EnvelopeTooLarge) } else { Ok(compact) }
}

/// The thumbprint of the key to which this is sealed, as its open header says.
/// [`Error::EnvelopeMalformed`].
pub fn addressed_key(compact: &str) -> Result<String, Error> {
    let malformed = Error::EnvelopeMalformed;
    let header = jws::parse_header(compact.split('.').next().unwrap_or_default(), malformed)?;
    json::read::<jwe::JweHeader>(header, malformed)?.kid.ok_or(malformed)
}

/// For who answers a sender at once: [`Error::FormerKey`] when this is sealed neither to the key that
/// the card of `me` names nor to a newer one of its `keys`, so that it comes again under the former. Of
/// anything else opening tells.
pub fn expect_present_key(
    bytes: &[u8],
    me: &VerifiedCard,
    keys: &impl NodeKeys,
) -> Result<(), Error> {
    match std::str::from_utf8(bytes).map(addressed_key) {
        Ok(Ok(kid)) if !(me.is_present_encryption_key(&kid) || keys.is_newest(&kid)) => {
            Err(Error::FormerKey)
        }
        _ => Ok(()),
    }
}

/// An envelope whose size, structure and algorithms are right.
#[derive(Debug)]
pub struct Sealed(jwe::CompactJwe);

impl Sealed {
    /// The first four checks: [`Error::EnvelopeTooLarge`], [`Error::EnvelopeMalformed`],
    /// [`Error::AlgorithmRefused`], and [`Error::WrongRecipientKey`] where no key is named.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::EnvelopeTooLarge);
        }
        let compact = std::str::from_utf8(bytes).map_err(|_| Error::EnvelopeMalformed)?;
        let sealed = jwe::CompactJwe::parse(compact)?;
        if sealed.header().cty.as_deref() != Some("JWT") {
            return Err(Error::EnvelopeMalformed);
        }
        if sealed.header().kid.is_none() {
            return Err(Error::WrongRecipientKey);
        }
        Ok(Self(sealed))
    }

    /// Decrypts and takes the signed JWT apart. [`Error::WrongRecipientKey`],
    /// [`Error::DecryptionFailed`], then as [`Sealed::parse`] for what is inside.
    pub async fn decrypt(
        self,
        keys: &impl NodeKeys,
        primitives: &impl Primitives,
    ) -> Result<Decrypted, Error> {
        let malformed = Error::EnvelopeMalformed;
        let plaintext = self.0.decrypt(keys, primitives).await?;
        let compact = String::from_utf8(plaintext).map_err(|_| malformed)?;
        let (signed, claims) = Unverified::parse(&compact, &KIND, malformed)?.into_parts();
        Ok(Decrypted { signed, claims: json::read(claims, malformed)?, digest: digest(&compact) })
    }
}

/// A decrypted envelope whose sender is still only claimed.
#[derive(Debug)]
pub struct Decrypted {
    signed: Compact,
    claims: MessageClaims,
    digest: String,
}

/// What the checks after decryption need to know.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The node that opens.
    pub me: &'a VerifiedCard,
    /// What it trusts.
    pub trust: &'a Trust,
    /// When the envelope was received.
    pub received: Timestamp,
}

impl Decrypted {
    /// Who claims to have sent it: for looking up a card known before.
    pub fn claimed_sender(&self) -> &NodeId {
        &self.claims.iss
    }

    /// The checks from the signature to the sender's role, in the order of docs/protocol.md section
    /// 7.2. `known` is the sender's card if it was kept; the Network Map is looked into too, and so is
    /// the message: the youngest of the three counts.
    ///
    /// Errors: [`Error::CardUnknown`], [`Error::SignatureInvalid`], those of
    /// [`VerifiedCard::verify`], [`Error::WrongAudience`], [`Error::NotYetValid`],
    /// [`Error::Expired`], [`Error::UnknownType`], [`Error::TypeNotForRole`].
    pub async fn verify(
        self,
        known: Option<&str>,
        opening: Opening<'_>,
        primitives: &impl Primitives,
    ) -> Result<Opened, Error> {
        let Self { signed, claims, digest } = self;
        let listed = opening.trust.node(&claims.iss).ok().map(VerifiedCard::jwt);
        let card = youngest(&claims.iss, [known, listed, claims.card.as_deref()])?;
        let keys = match opening.trust.checked(card) {
            Some(checked) => checked.keys().clone(),
            None => card::claimed_keys(card, primitives).await?,
        };
        keys.check(&signed, claims.iat, primitives).await?;
        let sender =
            VerifiedCard::verify(card, opening.trust, opening.received, primitives).await?;
        if claims.aud != *opening.me.id() {
            return Err(Error::WrongAudience);
        }
        check_window(&claims, opening.received)?;
        let kind = MessageType::from_name(&claims.kind)?;
        if !kind.senders().contains(&sender.card().role) {
            return Err(Error::TypeNotForRole);
        }
        let MessageClaims { jti: id, thd: case, body, .. } = claims;
        Ok(Opened { sender, kind, id, case, body, digest })
    }
}

/// The card of `node` that says it was issued last; of equal ones the last. [`Error::CardMismatch`]
/// when one is another node's, [`Error::CardUnknown`] when there is none.
fn youngest<'a>(node: &NodeId, cards: [Option<&'a str>; 3]) -> Result<&'a str, Error> {
    let mut youngest = None;
    for card in cards.into_iter().flatten() {
        let (owner, time) = card::claimed(card)?;
        if owner != *node {
            return Err(Error::CardMismatch);
        }
        if youngest.is_none_or(|(before, _)| time >= before) {
            youngest = Some((time, card));
        }
    }
    youngest.map(|(_, card)| card).ok_or(Error::CardUnknown)
}

/// `iat` not more than [`CLOCK_SKEW`] ahead, `exp` not past and not beyond [`LIFETIME`].
fn check_window(claims: &MessageClaims, received: Timestamp) -> Result<(), Error> {
    let now = received.seconds();
    if claims.iat > now + CLOCK_SKEW {
        return Err(Error::NotYetValid);
    }
    let longest = claims.iat.saturating_add(LIFETIME);
    if now >= claims.exp || claims.exp > longest { Err(Error::Expired) } else { Ok(()) }
}

/// A message that passed every check but those that need the node's memory: whether its id was
/// seen before, and whether its case allows it.
#[derive(Clone, Debug)]
pub struct Opened {
    sender: VerifiedCard,
    kind: MessageType,
    id: MessageId,
    case: CaseId,
    body: Value,
    digest: String,
}

impl Opened {
    /// Who sent it.
    pub fn sender(&self) -> &VerifiedCard {
        &self.sender
    }

    /// What it is.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// Its id, unique for its sender.
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The case it belongs to.
    pub fn case(&self) -> &CaseId {
        &self.case
    }

    /// Digest of the signed JWT, which stays the same when it is sealed anew.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The type's members. [`Error::BodyMalformed`].
    pub fn body<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        json::read(self.body.clone(), Error::BodyMalformed)
    }

    /// Who sent it, and the type's members; of large ones no copy is made. [`Error::BodyMalformed`].
    pub fn into_body<T: serde::de::DeserializeOwned>(self) -> Result<(VerifiedCard, T), Error> {
        Ok((self.sender, json::read(self.body, Error::BodyMalformed)?))
    }
}
