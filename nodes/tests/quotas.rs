//! How much may wait: of one sender, in one mailbox, and how long what went is remembered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Net, Person, delivery};
use hdms::Error;
use hdms::envelope;
use hdms::ids::NodeId;
use hdms::mailbox::{Delivery, DeliveryAnswer, MAX_DELIVERIES, MAX_PAGE};
use hdms_nodes::server::{Quota, Quotas};

const NO_LIMIT: Quota = Quota { messages: u64::MAX, bytes: u64::MAX / 2 };
const OPEN: Quotas = Quotas { mailbox: NO_LIMIT, sender: NO_LIMIT, sender_in_mailbox: NO_LIMIT };

/// A sender, another one and two recipients.
async fn network(quotas: Quotas) -> (Net, [Person; 4]) {
    let net = Net::start_with(|config| config.quotas = quotas).await;
    let people =
        [net.hospital(0).await, net.hospital(1).await, net.person(2).await, net.person(3).await];
    (net, people)
}

/// How each of `count` small messages was answered: the refusal, if it was one.
async fn send(net: &Net, from: &Person, to: &NodeId, count: usize) -> Vec<Option<Error>> {
    let deliveries = (0..count).map(|_| delivery(to, "")).collect();
    answers(net, from, deliveries).await
}

async fn answers(net: &Net, from: &Person, deliveries: Vec<Delivery>) -> Vec<Option<Error>> {
    let answers = net.deliver(from.signer(), deliveries).await.unwrap();
    let refusal = |answer| match answer {
        DeliveryAnswer::Accepted(_) => None,
        DeliveryAnswer::Refused(code) => Some(Error::from_code(&code).unwrap()),
        DeliveryAnswer::FormerKey(_) => Some(Error::FormerKey),
    };
    answers.into_iter().map(refusal).collect()
}

async fn acknowledge(net: &Net, of: &Person, upto: u64) {
    net.client.acknowledge(&net.url, of.signer(), upto, Vec::new()).await.unwrap();
}

const TAKEN: Option<Error> = None;
const SENDER: Option<Error> = Some(Error::SenderQuota);
const FULL: Option<Error> = Some(Error::MailboxFull);

#[tokio::test]
async fn one_sender_can_not_fill_a_mailbox_and_gets_room_as_its_own_are_taken_out() {
    let quotas = Quotas {
        mailbox: Quota { messages: 4, ..NO_LIMIT },
        sender_in_mailbox: Quota { messages: 2, ..NO_LIMIT },
        ..OPEN
    };
    let (net, [first, second, patient, other]) = network(quotas).await;
    assert_eq!(send(&net, &first, &patient.id, 4).await, [TAKEN, TAKEN, SENDER, SENDER]);
    assert_eq!(send(&net, &first, &other.id, 1).await, [TAKEN], "another mailbox");
    assert_eq!(send(&net, &second, &patient.id, 3).await, [TAKEN, TAKEN, SENDER]);
    acknowledge(&net, &patient, 3).await;
    assert_eq!(send(&net, &second, &patient.id, 2).await, [TAKEN, SENDER]);
    assert_eq!(send(&net, &first, &patient.id, 3).await, [TAKEN, TAKEN, SENDER]);
    acknowledge(&net, &patient, u64::MAX).await;
    assert_eq!(send(&net, &first, &patient.id, 3).await, [TAKEN, TAKEN, SENDER]);
}

#[tokio::test]
async fn some_who_fill_a_mailbox_leave_each_other_sender_room_and_it_learns_nothing_of_theirs() {
    let quotas = Quotas {
        mailbox: Quota { messages: 200, ..NO_LIMIT },
        sender_in_mailbox: Quota { messages: 200, ..NO_LIMIT },
        ..OPEN
    };
    let (net, [first, second, patient, _]) = network(quotas).await;
    for _ in 0..2 {
        send(&net, &first, &patient.id, MAX_DELIVERIES).await;
    }
    assert_eq!(send(&net, &first, &patient.id, 1).await, [SENDER]);
    let one = delivery(&patient.id, "one");
    let answer = net.deliver(second.signer(), vec![one.clone()]).await.unwrap();
    assert_eq!(answer, [DeliveryAnswer::Accepted(1)], "as if nobody else had sent anything");
    assert_eq!(send(&net, &second, &patient.id, 2).await, [TAKEN, FULL]);
    acknowledge(&net, &patient, 201).await;
    let report = &net.client.reports(&net.url, second.signer(), 0).await.unwrap().reports[0];
    assert_eq!(report.seq, 1);
    assert_eq!(send(&net, &first, &patient.id, 1).await, [TAKEN]);
    let next = net.deliver(second.signer(), vec![delivery(&patient.id, "")]).await.unwrap();
    assert_eq!(next, [DeliveryAnswer::Accepted(3)]);
}

#[tokio::test]
async fn a_sender_s_messages_count_over_all_mailboxes_until_they_go_or_expire() {
    let quotas = Quotas { sender: Quota { messages: 3, ..NO_LIMIT }, ..OPEN };
    let (mut net, [first, second, patient, other]) = network(quotas).await;
    assert_eq!(send(&net, &first, &patient.id, 2).await, [TAKEN, TAKEN]);
    assert_eq!(send(&net, &first, &other.id, 2).await, [TAKEN, SENDER]);
    assert_eq!(send(&net, &second, &other.id, 3).await, [TAKEN, TAKEN, TAKEN]);
    acknowledge(&net, &patient, 1).await;
    assert_eq!(send(&net, &first, &other.id, 2).await, [TAKEN, SENDER]);

    net.clock.advance(envelope::LIFETIME * 1000);
    // It looks for what has expired when it starts.
    net.restart_with(|config| config.quotas = quotas).await;
    let after = async || send(&net, &first, &patient.id, 4).await;
    let mut answered = after().await;
    for _ in 0..40 {
        if answered[0].is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answered = after().await;
    }
    assert_eq!(answered, [TAKEN, TAKEN, TAKEN, SENDER]);
}

#[tokio::test]
async fn bytes_count_like_messages_from_the_first_one_on() {
    let bytes = |bytes| Quota { bytes, ..NO_LIMIT };
    let sized = |to: &Person, size: usize| delivery(&to.id, &"x".repeat(size));
    let quotas = Quotas { sender_in_mailbox: bytes(300), mailbox: bytes(500), ..OPEN };
    let (net, [first, second, patient, _]) = network(quotas).await;
    let some = vec![sized(&patient, 300), sized(&patient, 150), sized(&patient, 150)];
    assert_eq!(answers(&net, &first, some).await, [SENDER, TAKEN, SENDER]);
    let some = vec![sized(&patient, 180), sized(&patient, 30), sized(&patient, 30)];
    assert_eq!(answers(&net, &second, some).await, [TAKEN, FULL, FULL]);

    let quotas = Quotas { mailbox: bytes(100), ..OPEN };
    let (net, [first, _, patient, _]) = network(quotas).await;
    assert_eq!(answers(&net, &first, vec![sized(&patient, 300)]).await, [FULL]);
}

#[tokio::test]
async fn what_is_repeated_or_refused_does_not_count() {
    let quotas = Quotas { sender: Quota { messages: 2, ..NO_LIMIT }, ..OPEN };
    let (net, [first, _, patient, _]) = network(quotas).await;
    let one = delivery(&patient.id, "one");
    let malformed = Delivery { envelope: "x".into(), ..delivery(&patient.id, "") };
    for _ in 0..5 {
        let sent = vec![one.clone(), one.clone(), malformed.clone()];
        let answered = answers(&net, &first, sent).await;
        assert_eq!(answered, [TAKEN, TAKEN, Some(Error::EnvelopeMalformed)]);
    }
    assert_eq!(send(&net, &first, &patient.id, 2).await, [TAKEN, SENDER]);
    let at_its_limit = answers(&net, &first, vec![one]).await;
    assert_eq!(at_its_limit, [TAKEN], "what was accepted stays accepted");
}

#[tokio::test]
async fn personal_nodes_deliver_to_nobody() {
    let (net, [_, _, patient, other]) = network(OPEN).await;
    let sent = vec![delivery(&other.id, "")];
    let refused = net.deliver(patient.signer(), sent).await;
    assert_eq!(refused, Err(Error::TypeNotForRole));
    let page = net.client.mailbox(&net.url, other.signer(), 0, 10).await.unwrap();
    assert!(page.messages.is_empty());
}

#[tokio::test]
async fn thousands_of_messages_come_page_by_page_oldest_first() {
    const COUNT: usize = 4000;
    let (net, [sender, _, patient, _]) = network(OPEN).await;
    let mut sent = Vec::new();
    for _ in 0..COUNT / MAX_DELIVERIES {
        let some =
            Vec::from_iter((0..MAX_DELIVERIES).map(|n| delivery(&patient.id, &n.to_string())));
        sent.extend(some.iter().map(|delivery| delivery.envelope.clone()));
        assert_eq!(answers(&net, &sender, some).await, [TAKEN; MAX_DELIVERIES]);
    }
    let mut came = Vec::new();
    loop {
        let after = came.len() as u64;
        let page = net.client.mailbox(&net.url, patient.signer(), after, MAX_PAGE).await.unwrap();
        for message in page.messages {
            came.push(message.envelope);
            assert_eq!(message.seq, came.len() as u64);
        }
        // Some nodes acknowledge each page, others all at the end.
        if came.len() < COUNT / 2 {
            acknowledge(&net, &patient, came.len() as u64).await;
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(came, sent);
    acknowledge(&net, &patient, u64::MAX).await;
    let page = net.client.mailbox(&net.url, patient.signer(), 0, MAX_PAGE).await.unwrap();
    assert!(page.messages.is_empty() && !page.more);
}

#[tokio::test]
async fn a_mailbox_remembers_its_last_thousand_messages_and_no_more() {
    let (net, [sender, _, patient, _]) = network(OPEN).await;
    let all = Vec::from_iter((0..1200).map(|_| delivery(&patient.id, "")));
    for some in all.chunks(MAX_DELIVERIES) {
        answers(&net, &sender, some.to_vec()).await;
    }
    let before = net.deliver(sender.signer(), vec![all[0].clone()]).await;
    assert_eq!(before.unwrap(), [DeliveryAnswer::Accepted(1)], "nothing that waits is forgotten");
    acknowledge(&net, &patient, 1200).await;
    let late = vec![all[200].clone(), all[1199].clone(), all[0].clone()];
    let late = net.deliver(sender.signer(), late).await.unwrap();
    assert_eq!(late, [201, 1200, 1201].map(DeliveryAnswer::Accepted));
    let database = rusqlite::Connection::open(net.data().join("server.sqlite")).unwrap();
    let rows = "SELECT count(*) FROM messages";
    let rows: u64 = database.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1001);
    let counts = "SELECT count(*), sum(messages) FROM senders";
    let counts: (u64, u64) =
        database.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counts, (2, 2), "one that waits, in its mailbox and in all");
}
