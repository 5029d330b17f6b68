//! The Message Queue over HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Net, Person, delivery, id, keys, message_id};
use futures_util::StreamExt;
use hdms::Error;
use hdms::envelope;
use hdms::mailbox::{Bell, Delivery, DeliveryAnswer, Fate, MAX_DELIVERIES, Refused};
use hdms_nodes::server::{Quota, Quotas};

async fn deliver(net: &Net, from: &Person, deliveries: Vec<Delivery>) -> Vec<DeliveryAnswer> {
    net.deliver(from.signer(), deliveries).await.unwrap()
}

async fn places(net: &Net, of: &Person, after: u64, limit: usize) -> (Vec<u64>, bool) {
    let page = net.client.mailbox(&net.url, of.signer(), after, limit).await.unwrap();
    (page.messages.iter().map(|message| message.seq).collect(), page.more)
}

fn refused(error: Error) -> DeliveryAnswer {
    DeliveryAnswer::Refused(error.code().into())
}

fn accepted(places: &[u64]) -> Vec<DeliveryAnswer> {
    places.iter().map(|place| DeliveryAnswer::Accepted(*place)).collect()
}

#[tokio::test]
async fn messages_wait_in_their_order_and_a_repeated_one_comes_once() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let first = delivery(&recipient.id, "first");
    let second = delivery(&recipient.id, "second");
    let both = vec![first.clone(), second.clone()];
    assert_eq!(deliver(&net, &sender, both).await, accepted(&[1, 2]));
    let third = delivery(&recipient.id, "third");
    let mixed = vec![second.clone(), third.clone(), third.clone(), first.clone()];
    assert_eq!(deliver(&net, &sender, mixed).await, accepted(&[2, 3, 3, 1]));

    let page = net.client.mailbox(&net.url, recipient.signer(), 0, 100).await.unwrap();
    let envelopes: Vec<_> = page.messages.iter().map(|message| &message.envelope).collect();
    assert_eq!(envelopes, [&first.envelope, &second.envelope, &third.envelope]);

    let other = net.hospital(2).await;
    let same_id = vec![Delivery { id: first.id.clone(), ..delivery(&recipient.id, "other's") }];
    assert_eq!(deliver(&net, &other, same_id).await, accepted(&[1]), "each sender's own");
}

#[tokio::test]
async fn what_is_acknowledged_goes_and_stays_away() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let all: Vec<_> = (0..5).map(|n| delivery(&recipient.id, &n.to_string())).collect();
    deliver(&net, &sender, all.clone()).await;
    let acknowledge = async |upto| {
        net.client.acknowledge(&net.url, recipient.signer(), upto, Vec::new()).await.unwrap();
    };
    assert_eq!(places(&net, &recipient, 0, 2).await, (vec![1, 2], true));
    assert_eq!(places(&net, &recipient, 2, 3).await, (vec![3, 4, 5], false));
    acknowledge(2).await;
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![3, 4, 5], false));
    acknowledge(1).await;
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![3, 4, 5], false));
    assert_eq!(deliver(&net, &sender, all).await, accepted(&[1, 2, 3, 4, 5]), "a late repetition");
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![3, 4, 5], false));
    acknowledge(u64::MAX).await;
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![], false));
    assert_eq!(places(&net, &recipient, u64::MAX, 100).await, (vec![], false));
    let next = vec![delivery(&recipient.id, "next")];
    assert_eq!(deliver(&net, &sender, next).await, accepted(&[6]));
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![6], false));
}

#[tokio::test]
async fn a_mailbox_is_its_owners_alone() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    deliver(&net, &sender, vec![delivery(&recipient.id, "secret")]).await;
    assert_eq!(places(&net, &sender, 0, 100).await, (vec![], false));
    net.client.acknowledge(&net.url, sender.signer(), 1, Vec::new()).await.unwrap();
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![1], false));
    let stranger = Person { keys: keys(2), id: id(keys(2)), card: recipient.card.clone() };
    let refused = net.client.mailbox(&net.url, stranger.signer(), 0, 100).await.err();
    assert_eq!(refused, Some(Error::CardUnknown));
}

#[tokio::test]
async fn one_bad_delivery_takes_no_other_with_it() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let with = |envelope: &str| Delivery {
        to: recipient.id.clone(),
        id: message_id(),
        envelope: envelope.into(),
    };
    let large = "x".repeat(envelope::MAX_BYTES - 8);
    let answers = deliver(
        &net,
        &sender,
        vec![
            with(&format!("a.b.c.{large}.e")),
            with(&format!("a.b.c.{large}x.e")),
            delivery(&id(keys(2)), "to a stranger"),
            with("a.b.c.d"),
            with("a.b.c.d.e\n"),
            with(""),
            with("h.k.i.c.t"),
        ],
    )
    .await;
    assert_eq!(
        answers,
        [
            DeliveryAnswer::Accepted(1),
            refused(Error::EnvelopeTooLarge),
            refused(Error::NodeUnknown),
            refused(Error::EnvelopeMalformed),
            refused(Error::EnvelopeMalformed),
            refused(Error::EnvelopeMalformed),
            DeliveryAnswer::Accepted(2),
        ]
    );
    net.operator().revoke(recipient.id.clone(), "closed").await.unwrap();
    let after = deliver(&net, &sender, vec![with("h.k.i.c.t")]).await;
    assert_eq!(after, [refused(Error::NodeUnknown)]);
}

#[tokio::test]
async fn requests_of_a_wrong_form_are_refused_whole() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let malformed = Some(Error::CommandMalformed);
    for count in [0, MAX_DELIVERIES + 1] {
        let deliveries = (0..count).map(|n| delivery(&recipient.id, &n.to_string())).collect();
        let answer = net.deliver(sender.signer(), deliveries).await;
        assert_eq!(answer.err(), malformed, "{count}");
    }
    for limit in [0, 101] {
        let answer = net.client.mailbox(&net.url, sender.signer(), 0, limit).await;
        assert_eq!(answer.err(), malformed, "{limit}");
    }
    let huge = delivery(&recipient.id, &"x".repeat(7_000_000));
    let answer = net.deliver(sender.signer(), vec![huge]).await;
    assert_eq!(answer.err(), Some(Error::BodyTooLarge));
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![], false));
}

#[tokio::test]
async fn a_full_mailbox_refuses_until_something_is_taken_out() {
    let mailbox = Quota { messages: 3, bytes: 100 };
    let quotas = Quotas { mailbox, ..Quotas::default() };
    let net = Net::start_with(|config| config.quotas = quotas).await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let small = || delivery(&recipient.id, "");
    let sent = deliver(&net, &sender, vec![small(), small(), small(), small()]).await;
    assert_eq!(sent[3], refused(Error::MailboxFull));
    net.client.acknowledge(&net.url, recipient.signer(), 2, Vec::new()).await.unwrap();
    let large = delivery(&recipient.id, &"x".repeat(70));
    let sent = deliver(&net, &sender, vec![small(), large]).await;
    assert_eq!(sent, [DeliveryAnswer::Accepted(4), refused(Error::MailboxFull)]);
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![3, 4], false));
}

#[tokio::test]
async fn a_page_ends_before_it_grows_too_large() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    for _ in 0..6 {
        deliver(&net, &sender, vec![delivery(&recipient.id, &"x".repeat(780_000))]).await;
    }
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![1, 2, 3, 4, 5], true));
    assert_eq!(places(&net, &recipient, 5, 100).await, (vec![6], false));
}

#[tokio::test]
async fn what_waits_for_more_than_thirty_days_is_gone() {
    let lifetime = envelope::LIFETIME;
    let mut net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    deliver(&net, &sender, vec![delivery(&recipient.id, "old")]).await;
    net.clock.advance(lifetime * 1000 / 2);
    deliver(&net, &sender, vec![delivery(&recipient.id, "new")]).await;
    net.clock.advance(lifetime * 1000 / 2);
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![2], false));
    net.restart().await;
    assert_eq!(places(&net, &recipient, 0, 100).await, (vec![2], false));
    let next = vec![delivery(&recipient.id, "next")];
    assert_eq!(deliver(&net, &sender, next).await, accepted(&[3]));
}

#[tokio::test]
async fn a_bell_rings_for_what_was_missed_and_for_what_comes() {
    let net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let send = async || {
        deliver(&net, &sender, vec![delivery(&recipient.id, "mail")]).await;
    };
    send().await;
    send().await;
    let listen = async |last| {
        let bells = net.client.listen(&net.url, recipient.signer(), last).await.unwrap();
        Box::pin(bells)
    };
    let mut missed = listen(1).await;
    let mut current = listen(2).await;
    assert_eq!(missed.next().await, Some(Ok(Bell { seq: 2 })));
    let quiet = tokio::time::timeout(Duration::from_millis(300), current.next()).await;
    assert!(quiet.is_err(), "nothing has come since");
    send().await;
    assert_eq!(current.next().await, Some(Ok(Bell { seq: 3 })));
    assert_eq!(missed.next().await, Some(Ok(Bell { seq: 3 })));
    deliver(&net, &sender, vec![delivery(&sender.id, "another's")]).await;
    let quiet = tokio::time::timeout(Duration::from_millis(300), current.next()).await;
    assert!(quiet.is_err(), "it rings for its own mailbox only");
}

#[tokio::test]
async fn the_bell_ends_and_the_server_stops_at_once_while_somebody_listens() {
    let mut net = Net::start().await;
    let person = net.person(0).await;
    let bells = net.client.listen(&net.url, person.signer(), 0).await.unwrap();
    let mut bells = Box::pin(bells);
    tokio::time::timeout(Duration::from_secs(5), net.stop_server()).await.unwrap();
    assert_eq!(bells.next().await, Some(Err(Error::NetworkUnreachable)));
    assert_eq!(bells.next().await, None);
}

#[tokio::test]
async fn the_bell_of_a_revoked_node_ends_and_no_other() {
    let net = Net::start().await;
    let (revoked, other) = (net.person(0).await, net.person(1).await);
    let listen = async |person: &Person| {
        Box::pin(net.client.listen(&net.url, person.signer(), 0).await.unwrap())
    };
    let (mut its, mut others) = (listen(&revoked).await, listen(&other).await);
    net.operator().revoke(revoked.id.clone(), "closed").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), its.next()).await.unwrap();
    assert_eq!(ended, Some(Err(Error::NetworkUnreachable)));
    let again = net.client.listen(&net.url, revoked.signer(), 0).await.err();
    assert_eq!(again, Some(Error::CardRevoked));
    let quiet = tokio::time::timeout(Duration::from_millis(300), others.next()).await;
    assert!(quiet.is_err());
}

/// What the server tells the deliverer, as place and outcome.
async fn told(net: &Net, of: &Person, after: u64) -> Vec<(u64, Fate)> {
    let page = net.client.reports(&net.url, of.signer(), after).await.unwrap();
    assert!(!page.more);
    page.reports.into_iter().map(|report| (report.seq, report.outcome)).collect()
}

/// What somebody else delivers makes the server forget nothing of this one's.
#[tokio::test]
async fn who_delivers_much_leaves_others_told_of_what_is_given_up() {
    let net = Net::start().await;
    let (hospital, other, recipient) =
        (net.hospital(0).await, net.hospital(1).await, net.person(2).await);
    deliver(&net, &hospital, vec![delivery(&recipient.id, "hospital's")]).await;
    let acknowledge = async |upto, refused| {
        let signer = recipient.signer();
        net.client.acknowledge(&net.url, signer, upto, refused).await.unwrap();
    };
    acknowledge(1, Vec::new()).await;
    for batch in 0..11 {
        let all = (0..100).map(|n| delivery(&recipient.id, &format!("{batch} {n}"))).collect();
        deliver(&net, &other, all).await;
        acknowledge(1 + (batch + 1) * 100, Vec::new()).await;
    }
    let code = Error::CardForged.code();
    acknowledge(0, vec![Refused { seq: 1, code: code.into() }]).await;
    let refused = [(1, Fate::Fetched), (1, Fate::Refused(code.into()))];
    assert_eq!(told(&net, &hospital, 0).await, refused);
    // Of its own only the last thousand are known.
    let old = |seq| Refused { seq, code: code.into() };
    acknowledge(0, vec![old(101), old(102)]).await;
    let reports = told(&net, &other, 0).await;
    assert_eq!(reports.iter().map(|report| report.0).collect::<Vec<_>>(), [1100, 101]);
}

#[tokio::test]
async fn who_delivered_is_told_what_was_fetched_and_what_was_refused() {
    let net = Net::start().await;
    let (hospital, other, recipient) =
        (net.hospital(0).await, net.hospital(1).await, net.person(2).await);
    let all = (0..3).map(|n| delivery(&recipient.id, &n.to_string())).collect();
    deliver(&net, &hospital, all).await;
    deliver(&net, &other, vec![delivery(&recipient.id, "other's")]).await;
    let page = net.client.mailbox(&net.url, recipient.signer(), 0, 10).await.unwrap();
    let from = page.messages.iter().map(|message| &message.from).collect::<Vec<_>>();
    assert_eq!(from, [&hospital.id, &hospital.id, &hospital.id, &other.id]);
    assert_eq!(told(&net, &hospital, 0).await, []);

    let forged = |seq| Refused { seq, code: Error::CardForged.code().into() };
    let refused = Fate::Refused(Error::CardForged.code().into());
    let acknowledge = async |upto, refused| {
        let signer = recipient.signer();
        net.client.acknowledge(&net.url, signer, upto, refused).await
    };
    acknowledge(2, vec![forged(2), forged(3), forged(9)]).await.unwrap();
    let after_two = [(2, refused.clone()), (2, Fate::Fetched)];
    assert_eq!(told(&net, &hospital, 0).await, after_two, "of what goes, no more");
    acknowledge(4, vec![forged(4)]).await.unwrap();
    acknowledge(4, vec![forged(3)]).await.unwrap();
    let given_up = [(2, refused.clone()), (3, Fate::Fetched), (3, refused.clone())];
    assert_eq!(told(&net, &hospital, 0).await, given_up, "of what was given up since, too");
    acknowledge(0, vec![forged(3), forged(2)]).await.unwrap();
    assert_eq!(told(&net, &hospital, 0).await, given_up, "once");
    assert_eq!(told(&net, &other, 0).await, [(1, refused), (1, Fate::Fetched)]);
    assert_eq!(told(&net, &recipient, 0).await, [], "these are the deliverers' own");

    let first = net.client.reports(&net.url, hospital.signer(), 0).await.unwrap().reports[0].number;
    net.client.reports_read(&net.url, hospital.signer(), first).await.unwrap();
    assert_eq!(told(&net, &hospital, 0).await, given_up[1..]);
    let no_codes = ["x", "a/\u{202e}\n\u{1b}[31mb", "A/b", "a/b/c", "/b"];
    let no_codes = no_codes.map(|code| vec![Refused { seq: 1, code: code.into() }]);
    for refused in no_codes.into_iter().chain([vec![forged(1); 101]]) {
        assert_eq!(acknowledge(4, refused).await, Err(Error::CommandMalformed));
    }
}

#[tokio::test]
async fn who_delivered_is_told_what_nobody_fetched_in_time() {
    let mut net = Net::start().await;
    let (hospital, recipient) = (net.hospital(0).await, net.person(1).await);
    let all = (0..2).map(|n| delivery(&recipient.id, &n.to_string())).collect();
    deliver(&net, &hospital, all).await;
    net.client.acknowledge(&net.url, recipient.signer(), 1, Vec::new()).await.unwrap();
    net.clock.advance(envelope::LIFETIME * 1000 + 1000);
    net.restart().await;
    for _ in 0..600 {
        if told(&net, &hospital, 0).await.len() > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(told(&net, &hospital, 0).await, [(1, Fate::Fetched), (2, Fate::Expired)]);
}
