//! The tables that repeat what the code says.

use hdms::card::{self, Role};
use hdms::envelope::{self, MessageType};
use hdms::fhir::resource;
use hdms::jose::jws::{MAX_HEADER, MAX_STATEMENT};
use hdms::node::{MOST_REFUSALS, MOST_REFUSED_BYTES};
use hdms::provider::CLOCK_SKEW;
use hdms::treatment::message;
use hdms::{
    Error, answers, doorman, endpoint, ledger, log, mailbox, network, notary, padding, proof, push,
    record,
};

use super::Example;

pub(super) fn all() -> Vec<(String, Example)> {
    let tables = [("messages", messages()), ("limits", limits()), ("refusals", refusals())];
    tables.map(|(name, table)| (name.to_owned(), Example::Table(table))).into()
}

fn messages() -> String {
    let row = |kind: &MessageType| {
        let senders = kind.senders().iter().map(|role| match role {
            Role::Personal => "personal",
            Role::Institution => "institution",
            Role::Notary => "notary",
        });
        [format!("`{}`", kind.name()), senders.collect::<Vec<_>>().join(", ")]
    };
    table(["type", "sent by"], MessageType::ALL.iter().map(row))
}

fn limits() -> String {
    let row = |(what, value): &(&str, String)| [(*what).to_owned(), value.clone()];
    let limits = [
        ("envelope (compact JWE)", bytes(envelope::MAX_BYTES)),
        ("card (compact JWS)", bytes(card::MAX_BYTES)),
        ("admission request (compact JWS)", bytes(doorman::MAX_BYTES)),
        (
            "endorsement of one entry, key change, statement of subkeys, request proof, key binding (compact JWS)",
            bytes(MAX_STATEMENT),
        ),
        ("endorsement of 256 entries (compact JWS)", bytes(ledger::ENDORSEMENT.longest)),
        ("protected header of a JWS or JWE, as base64url", bytes(MAX_HEADER)),
        ("conflict (compact JWS)", bytes(ledger::CONFLICT.longest)),
        ("manifest (compact JWS)", bytes(network::MAX_MANIFEST)),
        ("other network document (compact JWS)", bytes(network::MAX_DOCUMENT)),
        ("record (compact SD-JWT without key binding)", bytes(record::MAX_BYTES)),
        ("name of a member in a record's `fhir`", bytes(resource::MAX_NAME)),
        ("lifetime of an envelope, `exp` − `iat`, at most", seconds(envelope::LIFETIME)),
        ("`iat` of an envelope ahead of the receiver's clock, at most", seconds(CLOCK_SKEW)),
        (
            "key binding, distance of `iat` from the receiver's clock, at most",
            seconds(record::WINDOW),
        ),
        ("smallest payload of the signed JWT in an envelope", bytes(padding::FLOOR)),
        ("name of a patient", bytes(message::MAX_NAME)),
        ("lifetime of a card", seconds(card::LIFETIME)),
        ("admission request, `iat` behind; time to answer a challenge", seconds(doorman::PATIENCE)),
        ("admission request, `iat` ahead, at most", seconds(proof::WINDOW)),
        (
            "request proof, distance of `iat` from the server's clock, at most",
            seconds(proof::WINDOW),
        ),
        ("results in one hand-in, entries in one endorsement", ledger::MAX_ENTRIES.to_string()),
        ("deposits in one envelope", notary::MAX_DEPOSITS.to_string()),
        ("entries in one query", notary::MAX_QUERIED.to_string()),
        ("note, checkpoint", bytes(log::MAX_TEXT)),
        ("signatures of a note", log::note::MAX_SIGNATURES.to_string()),
        ("hashes of a proof", log::proof::MAX_HASHES.to_string()),
        ("changes of keys in a card", card::MAX_CHANGES.to_string()),
        ("deliveries in one request", mailbox::MAX_DELIVERIES.to_string()),
        ("body of `POST /mailbox/deliveries`", bytes(mailbox::MAX_DELIVERY_BYTES)),
        ("messages in one page of a mailbox", mailbox::MAX_PAGE.to_string()),
        ("refusals in one acknowledgement, reports in one page", mailbox::MAX_PAGE.to_string()),
        ("reports kept for one node", mailbox::MAX_REPORTS.to_string()),
        ("refusals kept of one deliverer, and of those that may become good", refusals_kept()),
        ("endpoint", bytes(endpoint::MAX_ENDPOINT)),
        ("answer to `GET /network`, `GET /manifests`", bytes(answers::DOCUMENTS)),
        ("answer to `GET /manifests/{number}`", bytes(answers::MANIFEST)),
        ("answer to `GET /mailbox`, all of it", bytes(answers::PAGE)),
        ("answer to `POST /deposits`", bytes(answers::RECEIPTS)),
        ("answer to `POST /mailbox/deliveries`", bytes(answers::DELIVERED)),
        ("answer to `POST /queries`", bytes(answers::ANSWER)),
        ("answer to `GET /witness/…`", bytes(answers::WITNESSED)),
        ("answer to `POST /witness/add-checkpoint`", bytes(answers::NOTE)),
        ("answer to all else, and a refusal", bytes(answers::SMALL)),
        ("push subscriptions of one node", push::MAX_SUBSCRIPTIONS.to_string()),
        ("payload of a push before its encryption", bytes(push::MAX_PAYLOAD)),
    ];
    table(["what", "limit"], limits.iter().map(row))
}

fn refusals_kept() -> String {
    format!("{MOST_REFUSALS}, {}", bytes(MOST_REFUSED_BYTES as usize))
}

fn refusals() -> String {
    let row = |error: &Error| {
        [format!("`{}`", error.code()), error.status().to_string(), error.sentence().to_owned()]
    };
    table(["code", "HTTP", "sentence"], Error::ALL.iter().map(row))
}

fn bytes(count: usize) -> String {
    format!("{count} bytes")
}

fn seconds(count: u64) -> String {
    let day = 24 * 3600;
    if count.is_multiple_of(day) { format!("{} days", count / day) } else { format!("{count} s") }
}

fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = [const { "---" }; N].map(str::to_owned);
    let rows: String = rows.map(|cells| line(&cells)).collect();
    line(&heads.map(str::to_owned)) + &line(&rule) + &rows
}
