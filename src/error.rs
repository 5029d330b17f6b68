//! Every refusal of the system: a stable code for programs, and a sentence for people that says
//! what to do. Nothing of what was refused is in it, so an [`Error`] can be logged and shown.

use std::fmt;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $sentence:literal;)+) => {
        /// Why something was refused. Its code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Error {
            $(#[doc = $sentence] $name,)+
        }

        impl Error {
            /// Every refusal, in the order of the protocol reference.
            pub const ALL: &[Error] = &[$(Error::$name,)+];

            /// The stable code, such as `treatment/unknown-case`.
            pub fn code(self) -> &'static str {
                match self { $(Error::$name => $code,)+ }
            }

            /// What happened and what to do about it.
            pub fn sentence(self) -> &'static str {
                match self { $(Error::$name => $sentence,)+ }
            }

            /// The HTTP status (RFC 9110) with which a server answers it.
            pub fn status(self) -> u16 {
                match self { $(Error::$name => $status,)+ }
            }
        }
    };
}

refusals! {
    EnvelopeTooLarge = "envelope/too-large", 413, "The envelope is larger than 1 MB; divide its content.";
    EnvelopeMalformed = "envelope/malformed", 400, "The envelope is not a compact JWE around a compact JWS with the claims of the protocol; build it as docs/protocol.md says.";
    AlgorithmRefused = "envelope/algorithm", 400, "Only RSA-OAEP-256 with A256GCM, PS256 and ES256 are accepted; seal or sign again with these.";
    WrongRecipientKey = "envelope/wrong-key", 400, "The envelope names another encryption key than this node's; fetch this node's current card and seal it again.";
    FormerKey = "envelope/former-key", 409, "The envelope is sealed to a key that the node has given up; seal the same signed message to its newest card, which comes with this answer.";
    DecryptionFailed = "envelope/decryption", 400, "The envelope can't be decrypted: it was altered or sealed to another key; seal it again to this node's card.";
    SignatureInvalid = "envelope/signature", 400, "The signature does not fit the content and the sender's key; sign again.";
    WrongAudience = "envelope/wrong-audience", 400, "The envelope is addressed to another node; send it there.";
    Expired = "envelope/expired", 400, "The envelope has expired; make a new one.";
    NotYetValid = "envelope/not-yet-valid", 400, "The envelope was issued in the future; set the sender's clock and make a new one.";
    TypeNotForRole = "envelope/type-not-for-role", 403, "A node of this role may not send this type of message.";
    UnknownType = "envelope/unknown-type", 400, "This type of message is not known here; use one that docs/protocol.md lists.";
    BodyMalformed = "envelope/body", 400, "The message's body lacks a field or has one of the wrong form; see its table in docs/protocol.md.";
    Replayed = "envelope/replayed", 409, "Another message with this id was taken in before; give every new message an id of its own.";
    TakesTooLong = "envelope/takes-too-long", 422, "The node was stopped each time it began to take the envelope in, and has set it aside unopened; divide its content.";

    CardMalformed = "card/malformed", 400, "The card is not a signed hdms-card+jwt with the claims of the protocol; ask the Doorman for one.";
    CardForged = "card/forged", 403, "The card is not signed by a Doorman that this network's root key certifies; ask the Doorman for one.";
    CardExpired = "card/expired", 403, "The card has expired; renew it at the Doorman.";
    CardRevoked = "card/revoked", 403, "The card was revoked by the network's operator; ask the operator why.";
    CardSuperseded = "card/superseded", 403, "The node has changed its keys since this card was issued; send its newest card, and sign with its present key.";
    CardUnknown = "card/unknown", 403, "The sender's card is not known here; send it with the first message of the case.";
    CardMismatch = "card/mismatch", 403, "The card belongs to another node than the one that signed; send your own card.";
    KeyTooShort = "key/size", 400, "RSA keys must have 2048 to 4096 bits and the exponent 65537; make a new key pair.";
    KeyMalformed = "key/malformed", 400, "The key is not a JWK of the expected type; see docs/protocol.md for its members.";
    UnknownKey = "key/unknown", 500, "This node does not hold that private key; restore the node, or begin a new case.";
    PassphraseWrong = "key/passphrase", 500, "The passphrase does not open the node's key file; start the node with the one it was made with.";
    KeyFileMalformed = "key/file", 500, "The node's key file is not one, or was damaged; restore it from a backup, it is never replaced.";

    NetworkForged = "network/forged", 502, "The network's documents are not signed under the pinned root key; check the server's address, and don't go on.";
    NetworkRollback = "network/rollback", 502, "The server offers older network documents than those seen before; ask the operator, the newer ones stay in use.";
    NetworkSplit = "network/split", 502, "The server has signed two states of the network under one number; ask the operator, the first stays in use and both are kept as evidence.";
    NetworkUnwitnessed = "network/unwitnessed", 502, "Too few witnesses have co-signed the network's newest manifest; the one before stays in use, ask the operator if this lasts.";
    NetworkStale = "network/stale", 503, "The network's documents have ended or are older than the network allows; connect to the server and fetch new ones.";
    NetworkUnreachable = "network/unreachable", 503, "The other node can't be reached; it is tried again by itself.";
    AnswerTooLarge = "network/answer", 502, "The other node's answer is larger than any of the protocol; it is tried again by itself, tell its operator if that stays so.";
    VersionTooOld = "network/version", 503, "The network asks for a newer version than this node's; update it: what is to be sent waits until then.";
    ManifestUnknown = "network/unknown-manifest", 404, "The draw of the case's notary goes by a manifest that is not known here; fetch the network's documents again.";
    NodeUnknown = "network/unknown-node", 404, "The Network Map lists no such node; fetch the map again.";
    NoNotary = "network/no-notary", 503, "The Network Map lists no notary; ask the operator to admit one.";

    AdmissionMalformed = "doorman/malformed", 400, "The admission request lacks a part or is not signed with the key it names; see docs/protocol.md.";
    PossessionUnproven = "doorman/possession", 403, "Possession of both keys is not proven, or they were changed since; answer in time, with the node's newest keys.";
    ChallengeForged = "doorman/challenge", 502, "The server's challenge is not one for this node and purpose, and was not answered; check the server's address, and don't go on.";
    AdmissionPending = "doorman/pending", 202, "The operator has not yet admitted this node; ask again later.";
    AdmissionRefused = "doorman/refused", 403, "The operator has refused this node; ask the operator, and apply again once the cause is gone.";
    AdmissionTaken = "doorman/taken", 409, "Another node has this name, address or log key; choose another, or have the operator revoke that node first.";
    EndpointRefused = "doorman/endpoint", 400, "The endpoint is not an https URL of a host that all others reach, with at most a port and a path; correct it, see docs/protocol.md.";
    TooManyChanges = "doorman/changes", 429, "So many nodes have changed their keys lately that this change has to wait; it is tried again by itself.";
    Uncertified = "doorman/uncertified", 503, "The network's root key has not certified this server's key; have it certified as docs/operator.md says, then start the server again.";
    RequestProofInvalid = "proof/invalid", 401, "The request's proof is missing, old, used before or not for this request; sign a new one for each request.";

    RecordMalformed = "record/malformed", 400, "The record is not an SD-JWT of this protocol; issue it again.";
    RecordForged = "record/signature", 400, "The record's signature or a disclosure does not fit; ask its author for it again.";
    RecordForeign = "record/wrong-author", 403, "The record was issued by another node or for another case than it claims; ask its author.";
    RecordIncomplete = "record/incomplete", 403, "Something that the record's author signed is withheld, though the record has to be whole; ask for all of it.";
    FactsMismatch = "record/facts", 403, "What the record's author says that it is about is not what its content gives; have the author issue it again.";
    RecordFormer = "record/former-format", 409, "New records of this format are not taken any more; have the author update and issue it again.";
    RecordTooLarge = "record/too-large", 413, "The record is larger than 570,000 bytes; divide it.";
    HolderUnproven = "record/holder", 403, "The presentation does not prove that its sender holds the record for this request; present it again.";
    NotJson = "fhir/not-json", 400, "The content is not JSON (RFC 8259) with unique member names; correct it.";
    NotFhir = "fhir/not-fhir", 422, "The content is not a FHIR R4 resource or Bundle; set resourceType and, in a Bundle, entry.resource.";

    EntryMalformed = "ledger/malformed", 400, "The ledger entry lacks a field or has one of the wrong form; see docs/protocol.md.";
    EndorsementForged = "ledger/endorsement", 403, "The endorsement is not a participant's signature over this entry; endorse it again.";
    EndorsementMissing = "ledger/endorsement-missing", 403, "An entry needs the endorsements of both participants; add the missing one.";
    EntryMismatch = "ledger/mismatch", 409, "The endorsements, the receipt and the document speak of different entries; send those that belong together.";
    NotParticipant = "ledger/not-participant", 403, "Only the participants of an entry may deposit it.";
    EntryNotForRole = "ledger/not-for-role", 403, "A request is by a patient's node to an institution, and a result by an institution; no other nodes may log an entry.";
    ReceiptForged = "ledger/receipt", 400, "The receipt does not prove that the case's notary logged this entry before enough witnesses; fetch it again from the notary.";
    NumberTaken = "ledger/number-taken", 409, "The receipt gives this entry a number that another entry of the case has; both receipts are kept and prove their notary false, tell the network's operator.";
    LogForged = "log/forged", 400, "The log's checkpoint, signature or proof does not hold; fetch it again, and keep this one as evidence if that stays so.";
    EntryConflict = "notary/conflict", 409, "The notary has already logged another entry under this id; make a new one under an id of its own.";
    WitnessesMissing = "notary/witnesses", 503, "Too few witnesses have co-signed the notary's log just now; it is tried again by itself.";
    NotDrawn = "notary/not-drawn", 403, "This is not the case's notary, or its draw does not hold; deposit the request where the draw leads, and say who was passed over and why.";
    EntryQuota = "notary/quota", 429, "This node or these two have had as many entries logged as they may for now; what is refused is deposited again by itself.";
    CaseUnlogged = "notary/unknown-case", 409, "The notary has not logged the request of this case; deposit that one first.";
    CaseLogged = "notary/known-case", 409, "The notary has already logged another request of this case; ask again in a new case.";

    CaseQuota = "treatment/quota", 429, "This institution takes no more requests for treatment from here just now; it is sent again by itself.";
    FormerCase = "treatment/former-version", 409, "This case began under version 1 of the protocol: it can be read and verified, and takes no new entries; begin a new case.";
    RequestOutdated = "treatment/outdated", 409, "The request goes by a manifest that has ended, or by a key that this hospital no longer has; ask again in a new case.";
    UnknownCase = "treatment/unknown-case", 404, "No such case is known here; begin with a treatment request.";
    NotAllowedNow = "treatment/not-allowed-now", 409, "The state of the case does not allow this; look at the case and do what it waits for.";
    TypeNotAllowed = "treatment/type-not-allowed", 403, "The patient has not allowed to be asked for records of these types; ask only for those that the case's request names.";
    AlreadyDecided = "treatment/already-decided", 409, "This was decided before, and differently; the first decision stands.";
    TextTooLong = "treatment/too-long", 413, "A text is longer than 4,000 bytes, a list longer than 100, or the request larger than 64 KB; shorten it.";
    WrongCount = "treatment/count", 413, "One to 256 results are handed in, or decided on, at once; divide them.";
    UnknownEntry = "treatment/unknown-entry", 404, "The case has no such entry or data request; look at the case for their ids.";

    StoreFailed = "store/failed", 507, "The node's storage failed and nothing was changed; free space or restore it, then start the node again.";
    StoreFull = "store/full", 507, "The node's storage is full and nothing was changed; free space on this device, it goes on by itself then.";
    StoreCorrupt = "store/corrupt", 500, "A stored value does not have the form it was written in; restore the node from its counterparts.";
    StoreBusy = "store/busy", 409, "Another instance of this node has the storage open; close it, then start this one again.";
    StoreLost = "store/lost", 410, "This device had a node, and its storage was removed; restore the node, or make a new one.";
    StoreExposed = "store/exposed", 500, "Others on this machine may read or exchange the node's files; give it a folder of its own, owned by the user that it runs as.";
    StoreNewer = "store/newer", 409, "The storage was written by a newer version; update this node.";
    RandomnessFailed = "platform/randomness", 500, "The platform gives no randomness; restart it.";
    CryptoFailed = "platform/crypto", 500, "The platform's cryptography failed; restart it, and report it if it happens again.";
    PlatformUnsupported = "platform/unsupported", 501, "This browser can't run a node here; use a current one, over HTTPS or on this machine.";
    NodeStopped = "node/stopped", 503, "The node has stopped after a failure of its storage; restart it once the cause is gone.";
    NodeBusy = "node/busy", 503, "The node has more to do than it can; it is tried again by itself.";
    NodeRestarted = "node/restarted", 503, "The node was restarted after an internal failure; nothing is lost, try again.";
    NodeNotReady = "node/not-ready", 409, "This device has no node yet; make one first.";
    TimedOut = "node/timed-out", 504, "The node did not answer in time; try again, repeating is safe.";
    CommandMalformed = "api/malformed", 400, "The request lacks a field or has one of the wrong form; see the interface's description.";
    KeyReused = "api/idempotency-key", 422, "Something else was handed in under this Idempotency-Key; choose a new key for each hand-in.";
    Unauthorised = "api/unauthorised", 401, "The API key is missing or wrong; send the institution's key in the Authorization header.";
    MethodNotAllowed = "api/method", 405, "This address does not have that method; see the interface's description.";
    NotFound = "api/not-found", 404, "There is nothing at this address; see the interface's description.";
    BodyTooLarge = "api/too-large", 413, "The request is larger than this address accepts; divide it.";
    TooManyRequests = "api/too-many", 429, "Too many requests came from this address or node; send again later.";
    BodyTooSlow = "api/too-slow", 408, "The request's body did not come in time; send it again over a better connection.";
    MailboxFull = "mailbox/full", 429, "The mailbox is full; send again later.";
    MailboxExpired = "mailbox/expired", 410, "The recipient has not fetched the message within 30 days, and it is gone; send its content anew once they are back.";
    SenderQuota = "mailbox/sender-quota", 429, "Too much from this sender waits to be fetched; send again later.";
    PushBlocked = "push/blocked", 403, "The browser does not allow notifications here; allow them for this site in its settings, then switch them on again.";
    PushUnavailable = "push/unavailable", 503, "The browser could not subscribe at its push service; it is tried again when the server is reached.";
    PushSubscriptionRefused = "push/subscription", 422, "This server does not send to such a push subscription; subscribe with the key that its network parameters name.";
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.sentence())
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether it may be gone at the next try: the one who met it failed, not what was sent.
    pub fn is_transient(self) -> bool {
        let of_the_server =
            matches!(self, Error::NetworkForged | Error::NetworkSplit | Error::ChallengeForged);
        (self.status() >= 500 && !of_the_server) || self.status() == 429
    }

    /// Whether the server which refuses a request proof with it may lack the node's newest card, as it
    /// does once its database was put back: then the node asks for a card again.
    pub fn asks_for_card(self) -> bool {
        matches!(self, Error::CardUnknown | Error::CardExpired | Error::RequestProofInvalid)
    }

    /// Whether an envelope that was refused with it may be good once its receiver knows more: newer
    /// network documents, which name a Doorman's key, a node, its newer card or a notary, or the time.
    pub fn may_become_good(self) -> bool {
        matches!(
            self,
            Error::NotYetValid
                | Error::Expired
                | Error::UnknownType
                | Error::CardUnknown
                | Error::CardForged
                | Error::CardExpired
                | Error::CardRevoked
                | Error::CardSuperseded
                | Error::NodeUnknown
                | Error::ManifestUnknown
                | Error::ReceiptForged
                | Error::LogForged
        )
    }

    /// Whether sending the same envelope once more can't come to another answer, by the sender's own
    /// clock and documents.
    pub fn is_permanent(self) -> bool {
        let kind = self.code().split('/').next().unwrap_or_default();
        let about_content = ["envelope", "card", "key", "record", "fhir", "ledger", "treatment"];
        let ended = matches!(self, Error::Expired | Error::ReceiptForged);
        let goes_on = self.may_become_good() || self == Error::FormerKey;
        let hopeless = ended || !goes_on;
        about_content.contains(&kind) && !self.is_transient() && hopeless
    }

    /// The same of a deposit, which a notary also refuses for what its log says. All else it seals anew:
    /// with newer cards, and at another time.
    pub fn is_permanent_for_deposits(self) -> bool {
        let of_the_log = self.code().starts_with("notary/") && !self.is_transient();
        of_the_log || self.is_permanent()
    }

    /// What another node's answer of this HTTP status and code means: [`Error::NetworkUnreachable`] where
    /// this version does not know the code, or it would end what was sent though the server says that the
    /// failure is its own (RFC 9110 section 15.6).
    pub fn answered(status: u16, code: &str) -> Error {
        let fits = |error: &Error| status < 500 || !error.is_permanent();
        Error::from_code(code).filter(fits).unwrap_or(Error::NetworkUnreachable)
    }

    /// The refusal with this code, for those who read it off the wire.
    pub fn from_code(code: &str) -> Option<Error> {
        Error::ALL.iter().copied().find(|error| error.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_lead_back_to_their_refusal() {
        let codes: HashSet<_> = Error::ALL.iter().map(|error| error.code()).collect();
        assert_eq!(codes.len(), Error::ALL.len());
        for error in Error::ALL {
            assert_eq!(Error::from_code(error.code()), Some(*error));
        }
    }

    #[test]
    fn no_code_of_a_server_that_failed_ends_what_was_sent() {
        for error in Error::ALL.iter().copied() {
            assert_eq!(Error::answered(499, error.code()), error);
            let answered = Error::answered(500, error.code());
            let kept = if error.is_permanent() { Error::NetworkUnreachable } else { error };
            assert_eq!(answered, kept);
            assert!(!answered.is_permanent());
        }
        assert_eq!(Error::answered(400, "teapot/short"), Error::NetworkUnreachable);
        assert_eq!(Error::answered(200, ""), Error::NetworkUnreachable);
    }

    #[test]
    fn every_sentence_is_one_that_ends() {
        for error in Error::ALL {
            assert!(error.sentence().ends_with('.'), "{}", error.code());
        }
    }
}
