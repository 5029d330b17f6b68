//! Somebody wants to keep others from becoming members.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use hdms::Error;
use hdms::base64url::digest;
use hdms::card::Role;
use hdms::doorman::{About, AdmissionRequest};
use hdms::ids::NodeId;
use hdms_nodes::base::http::problem::retry_after;
use hdms_nodes::base::http::proxies::{Block, Proxies};
use rusqlite::Connection;

use crate::common::{Net, about, keys, message_id, problem};
use crate::stolen_key::change_keys;

const DAY: u64 = 24 * 3600;

/// In `make soak` more than a server would remember.
const MANY: usize = if cfg!(debug_assertions) { 2_050 } else { 20_500 };

#[tokio::test(flavor = "multi_thread")]
async fn challenges_that_nobody_answers_keep_no_honest_node_out() {
    let net = Net::start_with(|config| config.rates.admissions = u32::MAX).await;
    let honest = net.request(keys(1), Role::Personal, "").await;
    let begun = net.challenge(keys(1), &honest).await.unwrap();
    let flood = net.request(keys(0), Role::Personal, "").await.sign(keys(0)).await.unwrap();
    let asked = stream::iter(0..MANY)
        .map(|_| net.client.ask_admission(&net.url, flood.clone()))
        .buffer_unordered(16)
        .filter(|answer| std::future::ready(answer.is_ok()))
        .count();
    assert_eq!(asked.await, MANY);
    // One who began before it, and one who begins now.
    assert!(net.client.answer_challenge(&net.url, &begun).await.is_ok());
    assert!(net.ask(keys(2), &net.request(keys(2), Role::Personal, "").await).await.is_ok());
}

#[tokio::test]
async fn answers_of_strangers_use_up_nothing_of_a_node() {
    let net = Net::start_with(|config| config.rates.admissions_of_key = 1).await;
    let answer =
        net.challenge(keys(0), &net.request(keys(0), Role::Personal, "").await).await.unwrap();
    for _ in 0..10 {
        let wrong = hdms::doorman::ChallengeAnswer {
            answer: hdms::base64url::digest("wrong"),
            ..answer.clone()
        };
        let refused = net.client.answer_challenge(&net.url, &wrong).await;
        assert_eq!(refused.err().map(|problem| problem.error), Some(Error::PossessionUnproven));
    }
    assert!(net.client.answer_challenge(&net.url, &answer).await.is_ok());
}

fn database(net: &Net) -> Connection {
    Connection::open(net.data().join("server.sqlite")).unwrap()
}

/// Personal nodes that have changed their keys just now, as if each had come by the Doorman.
fn changed(net: &Net, count: usize) {
    let sql = "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < ?1) \
               INSERT INTO nodes (id, role, status, request, superseded, since) \
               SELECT printf('%042dA', n), 'personal', 'admitted', '{}', ?2, ?2 FROM n";
    let changed = database(net).execute(sql, (count, net.now().seconds()));
    assert_eq!(changed.unwrap(), count);
}

#[tokio::test]
async fn who_changes_the_keys_of_many_nodes_leaves_older_ones_the_room_to_change_theirs() {
    let net = Net::start().await;
    let older = net.request(keys(0), Role::Personal, "").await;
    let new = net.request(keys(1), Role::Personal, "").await;
    for (keys, request) in [(keys(0), &older), (keys(1), &new)] {
        net.ask(keys, request).await.unwrap();
    }
    let sql = "UPDATE nodes SET since = since - ?2 WHERE id = ?1";
    database(&net).execute(sql, (older.iss.as_ref(), 30 * DAY)).unwrap();
    changed(&net, 1000);
    net.clock.advance(1000);
    let mut answers = Vec::new();
    for (former, request) in [(1, &new), (0, &older)] {
        let changed = change_keys(&net, request, keys(former), keys(former + 2)).await;
        answers.push(net.ask(keys(former + 2), &changed).await.err());
    }
    assert_eq!(answers, [Some(Error::TooManyChanges), None]);
    // Those of a quarter of a year ago leave their room to others.
    net.clock.advance(1000 * 91 * DAY);
    let again = net.request(keys(1), Role::Personal, "").await;
    let changed = change_keys(&net, &again, keys(1), keys(3)).await;
    net.ask(keys(3), &changed).await.unwrap();
}

/// The node changes from the keys of one number to those of the other.
async fn change(
    net: &Net,
    request: &mut AdmissionRequest,
    (former, newer): (usize, usize),
) -> Result<(), Error> {
    net.clock.advance(1000);
    let changed = change_keys(net, request, keys(former), keys(newer)).await;
    net.ask(keys(newer), &changed).await?;
    *request = changed;
    Ok(())
}

/// How many changes of keys the server remembers that wait.
fn remembered(net: &Net) -> u64 {
    let sql = "SELECT count(*) FROM waiting_changes";
    database(net).query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn one_address_changes_the_keys_of_twenty_nodes_a_day_and_no_more() {
    let net = Net::start().await;
    for first in [0, 2] {
        let mut request = net.request(keys(first), Role::Personal, "").await;
        net.ask(keys(first), &request).await.unwrap();
        for _ in 0..5 {
            change(&net, &mut request, (first, first + 1)).await.unwrap();
            change(&net, &mut request, (first + 1, first)).await.unwrap();
        }
    }
    let mut request = net.request(keys(4), Role::Personal, "").await;
    let unknown = change(&net, &mut request, (4, 5)).await;
    assert_eq!(unknown, Err(Error::TooManyChanges), "its changes would be kept as well");
    assert_eq!(remembered(&net), 0, "there is no end of nodes that nobody knows");
    net.ask(keys(4), &request).await.unwrap();
    assert_eq!(change(&net, &mut request, (4, 5)).await, Err(Error::TooManyChanges));
    // Nor do changes count less that a node brings at once, and that end where they began.
    let before = request.clone();
    let mut circle = request.clone();
    for (former, newer) in [(4, 5), (5, 4)] {
        circle = change_keys(&net, &circle, keys(former), keys(newer)).await;
    }
    assert_eq!(net.ask(keys(4), &circle).await, Err(Error::TooManyChanges));
    assert_eq!(remembered(&net), 2, "the same, stated once more, is no other");
    request = before;
    // Whoever else tries there meanwhile, in vain, puts it off by nothing.
    let quarter = retry_after(Error::TooManyChanges).unwrap() / 4;
    for expected in [Err(Error::TooManyChanges); 3].into_iter().chain([Ok(())]) {
        net.clock.advance(1000 * quarter);
        request.iat = net.now().seconds();
        assert_eq!(change(&net, &mut request, (4, 5)).await, expected);
    }
}

/// While others use up what there is room for, its owner's change waits for weeks.
#[tokio::test]
async fn a_change_of_keys_that_has_to_wait_grows_no_older_meanwhile() {
    let net = Net::start().await;
    let mut waiting = Vec::new();
    for former in [0, 2, 5] {
        let request = net.request(keys(former), Role::Personal, "").await;
        net.ask(keys(former), &request).await.unwrap();
        waiting.push(request);
    }
    changed(&net, 1000);
    net.clock.advance(1000);
    let unseen = change_keys(&net, &waiting[0], keys(0), keys(4)).await;
    for (request, former) in waiting.iter_mut().zip([0, 2, 5]) {
        *request = change_keys(&net, request, keys(former), keys(former + 1)).await;
        let refused = net.ask(keys(former + 1), request).await;
        assert_eq!(refused, Err(Error::TooManyChanges));
    }
    // As one was noted before there were marks.
    let sql = "UPDATE waiting_changes SET statement = ?2 WHERE node = ?1";
    let statement = digest(&waiting[2].changes[0]);
    assert_eq!(database(&net).execute(sql, (waiting[2].iss.as_ref(), statement)), Ok(1));
    let again = async |days: u64, newer: usize, request: &AdmissionRequest| {
        net.clock.advance(1000 * days * DAY);
        let iat = net.now().seconds();
        let request = AdmissionRequest { iat, jti: message_id(), ..request.clone() };
        net.ask(keys(newer), &request).await.map(drop)
    };
    // The older they are the more room there is.
    assert_eq!(again(20, 4, &unseen).await, Err(Error::CardSuperseded));
    assert_eq!(remembered(&net), 3);
    assert_eq!(again(0, 1, &waiting[0]).await, Ok(()));
    assert_eq!(again(0, 6, &waiting[2]).await, Ok(()));
    assert_eq!(remembered(&net), 1);
    assert_eq!(again(11, 3, &waiting[1]).await, Err(Error::CardSuperseded), "not for ever");
}

/// Some names were admitted before such were refused; and what a member that was taken back from others'
/// copies has told the operator is not known any more.
#[tokio::test]
async fn no_rule_on_names_keeps_a_member_out_that_was_taken_back() {
    let net = Net::start().await;
    let member = net.hospital(1).await;
    let name = "St. Else\u{200b}where";
    let sql = "UPDATE nodes SET request = json_set(json_remove(request, '$.about'), '$.name', ?2) \
               WHERE id = ?1";
    database(&net).execute(sql, (member.id.as_ref(), name)).unwrap();
    net.ask(keys(1), &net.request(keys(1), Role::Institution, name).await).await.unwrap();
    let other = net.request(keys(2), Role::Institution, name).await;
    assert_eq!(net.ask(keys(2), &other).await, Err(Error::AdmissionMalformed));
}

#[tokio::test]
async fn who_was_never_admitted_has_nothing_signed() {
    let net = Net::start().await;
    let mut request = net.request(keys(0), Role::Institution, "Stranger").await;
    assert_eq!(net.ask(keys(0), &request).await, Err(Error::AdmissionPending));
    let before = net.trust().await.manifest().number;
    let mut answers = Vec::new();
    for newer in 1..=5 {
        net.clock.advance(1000);
        request = change_keys(&net, &request, keys(newer - 1), keys(newer)).await;
        answers.push(net.ask(keys(newer), &request).await.unwrap_err());
    }
    assert_eq!(answers, [Error::AdmissionPending; 5], "it waits for the operator alone");
    assert_eq!(net.trust().await.manifest().number, before);
    let kept = "SELECT json_array_length(request, '$.changes') FROM nodes WHERE id = ?1";
    let kept = database(&net).query_row(kept, [request.iss.as_ref()], |row| row.get(0));
    assert_eq!(kept, Ok(4), "what it brings is kept");
    let again = AdmissionRequest { jti: message_id(), ..request.clone() };
    net.operator().refuse(request.iss.clone(), "unknown").await.unwrap();
    assert_eq!(net.ask(keys(5), &again).await, Err(Error::AdmissionRefused));
    net.operator().revoke(request.iss.clone(), "unknown").await.unwrap();
    assert_eq!(net.ask(keys(5), &again).await, Err(Error::CardRevoked));
    net.operator().admit(request.iss.clone()).await.unwrap();
    net.until(|trust| trust.node(&request.iss).is_ok()).await;
    net.ask(keys(5), &again).await.unwrap();
}

/// As many more that have asked for the same as this applicant, from this address, after it.
fn applied(net: &Net, id: &NodeId, from: &str, count: usize) {
    let sql = "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < ?3) \
               INSERT INTO nodes (id, role, status, request, since, origin) \
               SELECT printf('%042dA', n + (SELECT count(*) FROM nodes)), role, status, \
               json_set(request, '$.iat', since + n), since + n, ?2 \
               FROM n, (SELECT * FROM nodes WHERE id = ?1)";
    let applied = database(net).execute(sql, (id.as_ref(), from, count));
    assert_eq!(applied.unwrap(), count);
}

async fn behind_a_proxy() -> Net {
    let proxy: Block = "127.0.0.1".parse().unwrap();
    Net::start_with(|config| config.limits.proxies = Proxies::from(vec![proxy])).await
}

/// The institution with the keys of this number applies from this address: the code of the refusal, and
/// after how many seconds to ask again.
async fn apply(net: &Net, from: &str, number: usize, name: &str) -> (String, Option<u64>) {
    let next = net.request(keys(number), Role::Institution, name).await;
    let answer = net.challenge(keys(number), &next).await.unwrap();
    let url = format!("{}/doorman/answers", net.url);
    let body = serde_json::to_vec(&answer).unwrap();
    let request = reqwest::Client::new().post(url).header("x-forwarded-for", from).body(body);
    let answer = request.send().await.unwrap();
    let later = answer.headers().get("retry-after").map(|it| it.to_str().unwrap().parse());
    (problem(answer).await.1, later.map(Result::<u64, _>::unwrap))
}

#[tokio::test]
async fn an_address_that_has_applied_often_waits_and_others_apply() {
    let net = behind_a_proxy().await;
    let first = net.request(keys(0), Role::Institution, "First").await;
    assert_eq!(net.ask(keys(0), &first).await, Err(Error::AdmissionPending));
    applied(&net, &first.iss, "192.0.2.1", 20);
    let apply = async |from: &str, number, name: &str| apply(&net, from, number, name).await;
    applied(&net, &first.iss, "2001:db8:7::", 20);
    assert_eq!(apply("192.0.2.1", 1, "Next 1").await, ("api/too-many".into(), Some(3600)));
    assert_eq!(apply("2001:db8:7:1::1", 1, "Next 1").await.0, "api/too-many", "one customer");
    assert_eq!(apply("192.0.2.2", 1, "Next 1").await.0, "doorman/pending");
    // Those that the operator has refused wait no more.
    let refused = "UPDATE nodes SET status = 'refused' WHERE id <> ?1 AND origin = '192.0.2.1'";
    assert_eq!(database(&net).execute(refused, [first.iss.as_ref()]), Ok(20));
    assert_eq!(apply("192.0.2.1", 2, "Next 2").await.0, "doorman/pending");
    // Nor do they wait again, by asking for something else, where others do now.
    net.operator().refuse(keys(2).node().clone(), "unknown").await.unwrap();
    applied(&net, &first.iss, "192.0.2.1", 20);
    assert_eq!(apply("192.0.2.1", 2, "Next 2").await.0, "doorman/refused");
    assert_eq!(apply("192.0.2.1", 2, "Another").await.0, "api/too-many");
}

/// Else twenty could wait for each time that they were refused.
#[tokio::test]
async fn who_was_refused_and_applies_again_counts_where_it_is_now() {
    let net = behind_a_proxy().await;
    let pending = ("doorman/pending".to_owned(), None);
    assert_eq!(apply(&net, "192.0.2.1", 0, "First").await, pending);
    let id = keys(0).node();
    net.operator().refuse(id.clone(), "unknown").await.unwrap();
    assert_eq!(apply(&net, "192.0.2.2", 0, "First").await.0, "doorman/refused");
    let from = async || net.operator().applicant(id).await.unwrap().from.unwrap().to_string();
    assert_eq!(from().await, "192.0.2.1");
    assert_eq!(apply(&net, "192.0.2.2", 0, "Second").await, pending);
    assert_eq!(from().await, "192.0.2.2");
    assert_eq!(apply(&net, "192.0.2.3", 0, "Third").await, pending);
    assert_eq!(from().await, "192.0.2.2", "it waits since then");
}

/// Nor does anybody's application cost those who ask after it: it is not looked at.
#[tokio::test]
async fn an_applicant_asks_for_something_else_ten_times_a_day() {
    let net = Net::start().await;
    let other = net.request(keys(1), Role::Institution, "Other").await;
    assert_eq!(net.ask(keys(1), &other).await, Err(Error::AdmissionPending));
    let spoilt = "UPDATE nodes SET request = 'x' WHERE id = ?1";
    database(&net).execute(spoilt, [other.iss.as_ref()]).unwrap();
    net.hospital(2).await;
    let mut answers = Vec::new();
    for round in 0..12 {
        let about = Some(About { contact: format!("Contact {round}"), ..about() });
        let request = net.request(keys(0), Role::Institution, "Fickle").await;
        answers.push(net.ask(keys(0), &AdmissionRequest { about, ..request }).await.err());
    }
    assert_eq!(answers.pop(), Some(Some(Error::TooManyRequests)));
    assert_eq!(answers, [Some(Error::AdmissionPending); 11]);
}

#[tokio::test]
async fn applications_by_the_thousand_push_out_none_from_elsewhere() {
    let mut net = behind_a_proxy().await;
    let honest = net.request(keys(0), Role::Institution, "Honest").await;
    assert_eq!(net.ask(keys(0), &honest).await, Err(Error::AdmissionPending));
    applied(&net, &honest.iss, "192.0.2.1", 1200);
    // It looks for what is too much when it starts.
    net.restart().await;
    let waiting = || {
        let sql = "SELECT count(*) FROM nodes WHERE status = 'pending'";
        database(&net).query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    while waiting() > 1000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let operator = net.operator();
    assert!(operator.applicant(&honest.iss).await.is_ok());
    assert_eq!(operator.pending(None).await.unwrap().len(), 100, "a page");
}
