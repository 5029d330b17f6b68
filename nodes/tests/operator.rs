//! What the operator decides, what nodes may change by themselves, and the trail of all that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::Ipv4Addr;
use std::slice;

use common::{JsonBody, Net, Person, about, id, keys, log_keys, message_id};
use hdms::Error;
use hdms::card::{KeyChange, Role, Subkeys};
use hdms::doorman::{About, AdmissionRequest};
use hdms::ids::NodeId;
use hdms::network::Trust;
use hdms_nodes::base::http::problem::ProblemDocument;
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives};
use hdms_nodes::server::operator::{Lookalike, Stands};
use hdms_nodes::server::trail::{Act, Trail};
use rusqlite::Connection;

/// An admission that is refused: the problem.
async fn refused(net: &Net, keys: &AwsKeys, request: &AdmissionRequest) -> ProblemDocument {
    refused_with(net, [keys, keys], request).await
}

/// The same of a node that signs with the keys of one and decrypts with those of another.
async fn refused_with(
    net: &Net,
    [signing, decrypting]: [&AwsKeys; 2],
    request: &AdmissionRequest,
) -> ProblemDocument {
    let jwt = request.sign(signing).await.unwrap();
    let challenge = net.client.ask_admission(&net.url, jwt.clone()).await.unwrap();
    let answer = challenge.answer(request, jwt, decrypting, &AwsPrimitives).await.unwrap();
    let http = reqwest::Client::new().post(format!("{}/doorman/answers", net.url));
    let answer = http.body(serde_json::to_vec(&answer).unwrap()).send().await.unwrap();
    let status = answer.status().as_u16();
    let problem: ProblemDocument = answer.json_body().await;
    assert_eq!(problem.status, status);
    problem
}

/// The same request, to be sent once more.
fn anew(request: &AdmissionRequest) -> AdmissionRequest {
    AdmissionRequest { jti: message_id(), ..request.clone() }
}

/// What a node asks for that has changed its signing key, by a statement of the former one.
async fn changed(request: &AdmissionRequest, former: &AwsKeys, new: &AwsKeys) -> AdmissionRequest {
    let signing_key = new.public().0;
    let change = KeyChange {
        iss: request.iss.clone(),
        iat: request.iat,
        former_signing_key: former.public().0.clone(),
        signing_key: signing_key.clone(),
    };
    let mut next = anew(request);
    next.changes.push(change.sign(former).await.unwrap());
    let subkeys = stated(&request.iss, new, new).await;
    AdmissionRequest { signing_key: signing_key.clone(), subkeys, ..next }
}

/// The statement by the signing key of `signer` that the encryption key of `of` is the node's.
async fn stated(node: &NodeId, of: &AwsKeys, signer: &AwsKeys) -> String {
    let (encryption, request) = (of.public().1, signer.request_key().clone());
    let stated = Subkeys { iss: node.clone(), iat: 0, encryption, request };
    stated.sign(signer).await.unwrap()
}

async fn acts(net: &Net) -> Vec<Act> {
    let trail = net.operator().trail().await.unwrap();
    assert!(trail.whole);
    trail.entries.iter().map(|entry| entry.act).collect()
}

#[tokio::test]
async fn the_operator_sees_all_that_a_node_claims_and_what_it_wants_changed() {
    let net = Net::start().await;
    let request = net.request(keys(0), Role::Notary, "Notary").await;
    assert_eq!(net.ask(keys(0), &request).await, Err(Error::AdmissionPending));
    let applicant = net.operator().applicant(&request.iss).await.unwrap();
    let claims = applicant.claims.clone();
    assert_eq!((claims.role, claims.name.as_str()), (Role::Notary, "Notary"));
    assert_eq!((claims.about, claims.log), (Some(about()), request.log));
    assert_eq!(Some(claims.endpoint), request.endpoint.clone().map(String::from));
    assert_eq!(claims.signing_key, request.iss.as_ref());
    assert_eq!((applicant.admitted, applicant.rival), (None, None));
    assert_eq!((applicant.lookalikes, applicant.asked), (Vec::new(), request.iat));
    assert_eq!(applicant.from, Some(Ipv4Addr::LOCALHOST.into()));
    net.operator().admit(request.iss.clone()).await.unwrap();
    net.until(|trust| trust.node(&request.iss).is_ok()).await;

    // Who takes a name that looks like a member's is shown beside it: here with a Cyrillic letter.
    let alike = net.request(keys(1), Role::Institution, "N\u{43e}tary").await;
    assert_eq!(net.ask(keys(1), &alike).await, Err(Error::AdmissionPending));
    let applicant = net.operator().applicant(&alike.iss).await.unwrap();
    let member =
        Lookalike { id: request.iss.clone(), name: "Notary".into(), stands: Stands::Member };
    assert_eq!((applicant.lookalikes, applicant.rival), (vec![member.clone()], None));
    // And so is who waits by one.
    let third = net.request(keys(2), Role::Institution, "Notary.").await;
    assert_eq!(net.ask(keys(2), &third).await, Err(Error::AdmissionPending));
    let waits =
        Lookalike { id: alike.iss.clone(), name: alike.name.clone(), stands: Stands::Waits };
    let applicant = net.operator().applicant(&third.iss).await.unwrap();
    assert_eq!(applicant.lookalikes, [member.clone(), waits]);
    for id in [alike.iss.clone(), third.iss] {
        net.operator().refuse(id, "not the notary").await.unwrap();
    }

    let contact = About { contact: "Prof. Roe".into(), ..about() };
    let request = AdmissionRequest { about: Some(contact), ..anew(&request) };
    assert_eq!(net.ask(keys(0), &request).await, Err(Error::AdmissionPending));
    let applicant = net.operator().applicant(&alike.iss).await.unwrap();
    let once = "once, also while it waits for something else";
    assert_eq!(applicant.lookalikes, slice::from_ref(&member), "{once}");
    let pending = net.operator().pending(None).await.unwrap();
    assert_eq!(pending[0].admitted.as_ref().unwrap().about, Some(about()));
    assert_eq!(pending[0].claims.about, request.about);
    // What was looked into is admitted, and nothing that was asked for in its place meanwhile.
    let contact = About { contact: "Nobody".into(), ..about() };
    let later = AdmissionRequest { about: Some(contact), ..anew(&request) };
    assert_eq!(net.ask(keys(0), &later).await, Err(Error::AdmissionPending));
    let operator = net.operator();
    assert_eq!(pending[0].from, None, "a member");
    assert_eq!(operator.admit_as(&pending[0]).await, Ok(false));
    let seen = operator.applicant(&request.iss).await.unwrap();
    assert_ne!(seen.digest(), pending[0].digest());
    let before = acts(&net).await.len();
    for _ in 0..2 {
        assert_eq!(operator.admit_as(&seen).await, Ok(true));
    }
    assert_eq!(acts(&net).await.len(), before + 1, "the second changes nothing");
    operator.revoke(request.iss.clone(), "its key was stolen").await.unwrap();
    let alike = operator.applicant(&alike.iss).await.unwrap().lookalikes;
    assert_eq!(alike, [Lookalike { stands: Stands::Revoked, ..member }]);
    assert!(net.trust().await.node(&request.iss).is_ok(), "it stays listed meanwhile");
}

#[tokio::test]
async fn a_refused_or_revoked_node_is_told_why() {
    let net = Net::start().await;
    let request = net.request(keys(0), Role::Institution, "St. Elsewhere").await;
    assert_eq!(refused(&net, keys(0), &request).await.code, "doorman/pending");
    let operator = net.operator();
    operator.refuse(request.iss.clone(), "no such hospital in the register").await.unwrap();
    for _ in 0..2 {
        let problem = refused(&net, keys(0), &anew(&request)).await;
        assert_eq!((problem.status, problem.code.as_str()), (403, "doorman/refused"));
        assert_eq!(problem.reason.as_deref(), Some("no such hospital in the register"));
    }
    assert_eq!(operator.refuse(request.iss.clone(), "x").await, Err(Error::NodeUnknown));
    assert!(operator.pending(None).await.unwrap().is_empty());

    let better = AdmissionRequest { name: "St. Elsewhere Ltd.".into(), ..anew(&request) };
    assert_eq!(refused(&net, keys(0), &better).await.code, "doorman/pending");
    let again = operator.pending(None).await.unwrap().remove(0);
    assert_eq!(again.refused.as_deref(), Some("no such hospital in the register"), "it is kept");
    operator.refuse(request.iss.clone(), "nor is that one").await.unwrap();
    let other = AdmissionRequest { name: "St. Elsewhere plc".into(), ..anew(&request) };
    assert_eq!(refused(&net, keys(0), &other).await.code, "doorman/pending");
    for (asked, reason) in
        [(&request, "no such hospital in the register"), (&better, "nor is that one")]
    {
        let problem = refused(&net, keys(0), &anew(asked)).await;
        assert_eq!((&*problem.code, problem.reason.as_deref()), ("doorman/refused", Some(reason)));
    }
    let waits = operator.pending(None).await.unwrap().remove(0);
    assert_eq!(waits.claims.name, other.name, "what was refused takes no place");
    operator.admit(request.iss.clone()).await.unwrap();
    net.until(|trust| trust.node(&request.iss).is_ok()).await;
    operator.revoke(request.iss.clone(), "it has closed").await.unwrap();
    net.until(|trust| trust.node(&request.iss).is_err()).await;
    let problem = refused(&net, keys(0), &anew(&other)).await;
    assert_eq!((problem.status, problem.code.as_str()), (403, "card/revoked"));
    assert_eq!(problem.reason.as_deref(), Some("it has closed"));
    operator.admit(request.iss.clone()).await.unwrap();
    let trust = net.until(|trust| trust.node(&request.iss).is_ok()).await;
    assert_eq!(trust.check_revocation(&request.iss, net.now()), Ok(()));
    assert!(net.ask(keys(0), &anew(&other)).await.is_ok(), "it is a member again");

    use Act::{Admitted, Allowances, Certified, Refused, Revoked, Rules};
    let decided = [Refused, Refused, Admitted, Revoked, Admitted];
    assert_eq!(acts(&net).await, [&[Certified, Rules, Allowances][..], &decided].concat());
    let trail = operator.trail().await.unwrap().entries;
    assert_eq!(trail[3].detail["reason"], "no such hospital in the register");
    let refused = [3, 4].map(|row| trail[row].detail["asked"]["name"].clone());
    assert_eq!(refused, ["St. Elsewhere", "St. Elsewhere Ltd."]);
    let names = [3, 6].map(|row| trail[row].detail["name"].clone());
    assert_eq!(names, ["St. Elsewhere", "St. Elsewhere plc"]);
    assert_eq!(trail[5].detail["about"]["registry_number"], about().registry_number);
    assert!(trail[3..].iter().all(|entry| entry.node == Some(request.iss.clone())));
}

#[tokio::test]
async fn what_was_refused_stays_refused_with_whatever_keys_it_comes_again() {
    let net = Net::start().await;
    let first = net.request(keys(0), Role::Institution, "St. Elsewhere").await;
    assert_eq!(net.ask(keys(0), &first).await, Err(Error::AdmissionPending));
    net.operator().refuse(first.iss.clone(), "unknown").await.unwrap();
    let renewed = async |request: &AdmissionRequest| {
        let subkeys = stated(&request.iss, keys(1), keys(0)).await;
        let request = AdmissionRequest { subkeys, ..anew(request) };
        refused_with(&net, [keys(0), keys(1)], &request).await
    };
    assert_eq!(renewed(&first).await.code, "doorman/refused");
    let other = AdmissionRequest { name: "Another".into(), ..anew(&first) };
    assert_eq!(net.ask(keys(0), &other).await, Err(Error::AdmissionPending));
    let problem = renewed(&first).await;
    assert_eq!((&*problem.code, problem.reason.as_deref()), ("doorman/refused", Some("unknown")));
    assert_eq!(renewed(&other).await.code, "doorman/pending", "what waits may change its keys");
    let changed = changed(&first, keys(0), keys(1)).await;
    assert_eq!(net.ask(keys(1), &changed).await, Err(Error::AdmissionRefused));
    let former = net.ask(keys(0), &anew(&other)).await;
    assert_eq!(former, Err(Error::PossessionUnproven), "they count all the same");
}

#[tokio::test]
async fn the_operator_grants_a_wish_that_was_refused() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    let before = net.request(keys(0), Role::Institution, "St. Elsewhere 0").await;
    let wish = AdmissionRequest { name: "Royal Hospital".into(), ..anew(&before) };
    assert_eq!(net.ask(keys(0), &wish).await, Err(Error::AdmissionPending));
    let operator = net.operator();
    operator.refuse(hospital.id.clone(), "not royal").await.unwrap();
    net.ask(keys(0), &anew(&before)).await.unwrap();
    let member = operator.applicant(&hospital.id).await.unwrap();
    assert_eq!((member.is_member, member.refused.as_deref()), (true, Some("not royal")));
    assert_eq!(net.ask(keys(0), &anew(&wish)).await, Err(Error::AdmissionRefused));
    let decided = acts(&net).await.len();
    for _ in 0..2 {
        assert_eq!(operator.admit_as(&member).await, Ok(true));
    }
    assert_eq!(acts(&net).await.len(), decided + 1, "the second changes nothing");
    assert_eq!(operator.applicant(&hospital.id).await.unwrap().refused, None);
    assert_eq!(net.ask(keys(0), &anew(&wish)).await, Err(Error::AdmissionPending));
    operator.admit(hospital.id.clone()).await.unwrap();
    let name = |trust: &Trust| trust.node(&hospital.id).unwrap().card().name.clone();
    net.until(|trust| name(trust) == "Royal Hospital").await;
}

#[tokio::test]
async fn a_member_that_is_refused_another_name_stays_what_it_was() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    let before = net.request(keys(0), Role::Institution, "St. Elsewhere 0").await;
    let other = AdmissionRequest { name: "Royal Hospital".into(), ..anew(&before) };
    assert_eq!(net.ask(keys(0), &other).await, Err(Error::AdmissionPending));
    net.operator().refuse(hospital.id.clone(), "not royal").await.unwrap();
    assert_eq!(net.ask(keys(0), &anew(&other)).await, Err(Error::AdmissionRefused));
    assert_eq!(net.trust().await.node(&hospital.id).unwrap(), &hospital.card);
    let card = net.ask(keys(0), &anew(&before)).await.unwrap();
    let trust = net.trust().await;
    assert_eq!(trust.node(&hospital.id).unwrap().jwt(), card);
    assert_eq!(trust.node(&hospital.id).unwrap().card().name, "St. Elsewhere 0");
}

#[tokio::test]
async fn keys_change_by_the_old_keys_word_alone_and_the_id_stays() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    let first = net.request(keys(0), Role::Institution, "St. Elsewhere 0").await;
    let next = changed(&first, keys(0), keys(1)).await;
    net.ask(keys(1), &next).await.unwrap();
    let card = net.trust().await.node(&hospital.id).unwrap().clone();
    assert_eq!(card.card().signing_key, *keys(1).public().0);
    assert_eq!(acts(&net).await.last(), Some(&Act::KeysChanged));
    let with = |keys| Person { keys, id: hospital.id.clone(), card: card.clone() };
    let ask =
        async |person: Person| net.client.mailbox(&net.url, person.signer(), 0, 1).await.map(drop);
    assert_eq!(ask(with(keys(1))).await, Ok(()));
    assert_eq!(ask(with(keys(0))).await, Err(Error::RequestProofInvalid));

    let unproven = Err(Error::PossessionUnproven);
    assert_eq!(net.ask(keys(0), &anew(&first)).await, unproven, "the former keys, now stolen");
    let other = changed(&first, keys(0), keys(2)).await;
    assert_eq!(net.ask(keys(2), &other).await, unproven, "another way from the first keys");
    let subkeys = stated(&hospital.id, keys(2), keys(2)).await;
    let others = AdmissionRequest { subkeys, ..anew(&next) };
    let jwt = others.sign(keys(1)).await.unwrap();
    let asked = net.client.ask_admission(&net.url, jwt).await.unwrap_err();
    assert_eq!(asked.error, Error::PossessionUnproven, "another states that it is the node's");
    let third = changed(&next, keys(1), keys(2)).await;
    net.ask(keys(2), &third).await.unwrap();
    assert_eq!(net.trust().await.node(&hospital.id).unwrap().keys().changes().len(), 2);
}

#[tokio::test]
async fn no_name_address_or_log_key_is_had_twice() {
    let net = Net::start().await;
    let first = net.request(keys(0), Role::Notary, "Notary of Example").await;
    assert_eq!(net.ask(keys(0), &first).await, Err(Error::AdmissionPending));
    net.operator().admit(first.iss.clone()).await.unwrap();
    let second = net.request(keys(1), Role::Notary, "Another Notary").await;
    let own = AdmissionRequest { log: Some(log_keys(2)), ..second };
    let crossed =
        hdms::network::LogKeys { witness_key: first.log.unwrap().log_key, ..own.log.unwrap() };
    for taken in [
        AdmissionRequest { name: " notary  of EXAMPLE".into(), ..own.clone() },
        AdmissionRequest { endpoint: first.endpoint.clone(), ..own.clone() },
        AdmissionRequest { log: Some(crossed), ..own.clone() },
    ] {
        assert_eq!(net.ask(keys(1), &anew(&taken)).await, Err(Error::AdmissionPending));
        let pending = net.operator().pending(None).await.unwrap();
        assert_eq!(pending[0].rival.as_ref(), Some(&first.iss));
        let admitted = net.operator().admit(own.iss.clone()).await;
        assert_eq!(admitted, Err(Error::AdmissionTaken));
    }
    assert_eq!(net.ask(keys(1), &anew(&own)).await, Err(Error::AdmissionPending));
    net.operator().admit(own.iss.clone()).await.unwrap();
    net.until(|trust| trust.nodes().len() == 2).await;
    let moved = AdmissionRequest { endpoint: first.endpoint.clone(), ..anew(&own) };
    assert_eq!(net.ask(keys(1), &moved).await, Err(Error::AdmissionPending));
}

#[tokio::test]
async fn a_notarys_role_and_log_stay_and_its_log_is_listed_for_ever() {
    let net = Net::start().await;
    let request = net.request(keys(0), Role::Notary, "Notary").await;
    assert_eq!(net.ask(keys(0), &request).await, Err(Error::AdmissionPending));
    assert!(net.trust().await.logs().is_empty());
    net.operator().admit(request.iss.clone()).await.unwrap();
    let trust = net.until(|trust| trust.logs().len() == 1).await;
    let log = trust.log(&request.iss).unwrap().clone();
    assert_eq!((Some(log.keys), log.until), (request.log, None));

    let other = AdmissionRequest { log: Some(log_keys(2)), ..anew(&request) };
    assert_eq!(net.ask(keys(0), &other).await, Err(Error::AdmissionMalformed));
    let hospital = net.request(keys(0), Role::Institution, "Notary").await;
    assert_eq!(net.ask(keys(0), &hospital).await, Err(Error::AdmissionMalformed));

    net.clock.advance(60_000);
    net.operator().revoke(request.iss.clone(), "it was broken into").await.unwrap();
    let trust = net.until(|trust| trust.nodes().is_empty()).await;
    assert_eq!(trust.log(&request.iss).unwrap().until, Some(net.now().seconds()));
    let again = net.operator().admit(request.iss.clone()).await;
    assert_eq!(again, Err(Error::CardRevoked), "what it logged since would count again");
}

#[tokio::test]
async fn whoever_alters_the_trail_is_stopped_or_found_out() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    net.operator().revoke(hospital.id, "closed").await.unwrap();
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let row = "SELECT 2, time, act, node, detail, before FROM trail WHERE number = 2";
    let attempts = [
        "UPDATE trail SET detail = '{}' WHERE number = 3".to_owned(),
        "UPDATE trail SET time = time - 1 WHERE number = 5".to_owned(),
        "DELETE FROM trail WHERE number = 5".to_owned(),
        "DELETE FROM trail WHERE number = 2".to_owned(),
        "DELETE FROM trail".to_owned(),
        format!("INSERT OR REPLACE INTO trail {row}"),
    ];
    for attempt in &attempts {
        let stopped = database.execute(attempt, []).unwrap_err().to_string();
        assert_eq!(stopped, "the trail only grows", "{attempt}");
    }
    let trail = net.operator().trail().await.unwrap();
    assert!(trail.whole && trail.entries.len() == 5, "{trail:?}");

    let triggers = ["trail_is_not_changed", "trail_is_not_cut", "trail_goes_on"];
    for trigger in triggers {
        database.execute(&format!("DROP TRIGGER {trigger}"), []).unwrap();
    }
    for attempt in &attempts[..5] {
        database.execute(attempt, []).unwrap();
        let altered: Trail = net.operator().trail().await.unwrap();
        assert!(!altered.whole, "{attempt}");
        assert!(altered.entries.len() < 5 || attempt.contains("number = 5"), "{attempt}");
        restore(&database, &trail);
    }
    assert!(net.operator().trail().await.unwrap().whole);
}

fn restore(database: &Connection, trail: &Trail) {
    database.execute_batch("DELETE FROM trail").unwrap();
    for entry in &trail.entries {
        let act = serde_json::to_value(entry.act).unwrap();
        let node = entry.node.as_ref().map(|node| node.as_ref());
        let (detail, act) = (entry.detail.to_string(), act.as_str().unwrap());
        let row = (entry.number, entry.time, act, node, detail, &entry.before);
        database.execute("INSERT INTO trail VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
    }
}

#[tokio::test]
async fn nothing_of_personal_nodes_is_on_the_trail_unless_the_operator_acts() {
    let net = Net::start().await;
    let person = net.person(0).await;
    use Act::{Allowances, Certified, Rules};
    assert!(acts(&net).await.iter().all(|act| matches!(act, Certified | Rules | Allowances)));
    net.operator().revoke(person.id.clone(), "stolen telephone").await.unwrap();
    let trail = net.operator().trail().await.unwrap();
    assert_eq!(trail.entries.last().unwrap().node, Some(id(keys(0))));
}
