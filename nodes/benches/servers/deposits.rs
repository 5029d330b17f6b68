//! Entries that a notary logs per second, each checked to be the only one in its place and answered
//! with its proof, while its log is empty and while it is long.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use hdms::Error;
use hdms::ids::EntryId;
use hdms::ledger::{Draw, Drawn, Entry, EntryKind, Place, VerifiedEndorsement};
use hdms::notary::Deposit;
use hdms::provider::{Clock, Timestamp};
use hdms::testing::FixedClock;
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::notary::{Import, Imported, Notary};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Person, SECRET, Signed, first_entry, passphrase, sealed, trust_of};
use crate::is_quick;
use crate::network::{Members, processor_time};

/// Requests under way at a time, with one deposit and with as many as fit.
const PRODUCERS: [usize; 2] = [256, 16];

/// Most deposits in an envelope here: each brings two endorsements of its own.
const TOGETHER: usize = 100;

/// Deposits that are measured, in the same order.
const MEASURED: [usize; 2] = [3000, 15_000];

/// Entries that are made at a time.
const CHUNK: u64 = 50_000;

/// Milliseconds between two entries of the past: ten million in a year.
const APART: u64 = 3_000;

/// Prints the figures.
pub async fn measure(members: &Members) {
    let net = &members.net;
    let people = [net.person(0).await, net.hospital(1).await];
    let mut notary = net.notary("notary").await;
    let sizes = if is_quick() { [0, 20_000, 100_000] } else { [0, 1_000_000, 10_000_000] };
    let mut past = Past { people: &people, logged: 0, firsts: Vec::new() };
    for size in sizes {
        notary = past.fill(members, notary, size).await;
        let url = format!("http://{}/deposits", notary.address());
        let card = notary.member().standing().card.clone();
        let trust = trust_of(&notary).await;
        let (number, manifest) = (trust.manifest().number, &trust.documents().manifest);
        let key = people[1].card.card().signing_key.thumbprint();
        let draw = Draw::new(number, manifest, key, &SystemRandomness).unwrap();
        for ((each, count), producers) in [1, TOGETHER].into_iter().zip(MEASURED).zip(PRODUCERS) {
            let mut prepared = Vec::new();
            for deposits in past.endorsed(count, &draw).await.chunks(each) {
                prepared.push(sealed([&people[0], &people[1]], &card, deposits.to_vec()).await);
            }
            // Preparing takes minutes, and the envelopes are of now.
            net.clock.set(SystemClock.now());
            let sent = send_all(&url, prepared, producers).await;
            past.logged += count as u64;
            println!(
                "deposits, {each} in a request, {size} logged before: {:.0} entries per second, \
                 {:.2} ms of processor and {:.0} bytes of receipt each",
                count as f64 / sent.wall.as_secs_f64(),
                sent.processor.as_secs_f64() * 1000.0 / count as f64,
                sent.bytes as f64 / count as f64,
            );
        }
    }
}

/// What the notary has logged, and what is to follow it.
struct Past<'a> {
    people: &'a [Person; 2],
    logged: u64,
    /// Some entries that nothing follows yet.
    firsts: Vec<Entry>,
}

impl Past<'_> {
    /// Stops the notary, fills its log up to `size` entries, and starts it again.
    async fn fill(&mut self, members: &Members, notary: Notary, size: u64) -> Notary {
        if self.logged >= size {
            return notary;
        }
        let (address, id) = (notary.address(), notary.member().id().clone());
        notary.serving().stop().await;
        let net = &members.net;
        let folder = net.dir.path().join("notary");
        let import = loop {
            match Import::open(&folder, &passphrase(), &id) {
                // What keeps the member up to date ends a moment later.
                Err(Error::StoreBusy) => tokio::time::sleep(Duration::from_millis(20)).await,
                opened => break opened.unwrap(),
            }
        };
        let begin = SystemClock.now().0 - size * APART;
        let clock = FixedClock::new(Timestamp(begin));
        while self.logged < size {
            let count = CHUNK.min(size - self.logged);
            let entries: Vec<_> = (0..count)
                .map(|_| {
                    clock.advance(APART);
                    let (entry, time) = (first(self.people, &clock), clock.now().seconds());
                    Imported { entry, place: Place::Numbered(SECRET, 1), time }
                })
                .collect();
            // Spread evenly, so that later entries follow early ones and late ones.
            let every = (size as usize / MEASURED.iter().sum::<usize>()).max(1);
            self.firsts.extend(entries.iter().step_by(every).map(|one| one.entry.clone()));
            import.append(entries).await.unwrap();
            self.logged += count;
        }
        drop(import);
        let listener = TcpListener::bind(address).await.unwrap();
        let config = net.member_config("notary", format!("http://{address}"));
        let clock = NodeClock::new(net.clock.clone());
        Notary::start(config, listener, clock, CancellationToken::new()).await.unwrap()
    }

    /// Half of them begin a case, the others follow what was logged long ago, if anything was.
    async fn endorsed(&mut self, count: usize, draw: &Draw) -> Vec<Signed> {
        let mut entries = Vec::new();
        for number in 0..count {
            // Here and there, so that what is followed is old and young.
            let place = number * 7919 % self.firsts.len().max(1);
            let follows = number % 2 == 1 && place < self.firsts.len();
            entries.push(match follows.then(|| self.firsts.swap_remove(place)) {
                Some(first) => following(&first),
                None => Entry { draw: Some(draw.clone()), ..first(self.people, &SystemClock) },
            });
        }
        let both = self.people.each_ref().map(|one| (one.id.clone(), one.keys));
        let signing = entries.into_iter().map(|entry| {
            let both = both.clone();
            tokio::spawn(async move {
                let mut endorsements = Vec::new();
                let draw = Drawn::sign(&entry, both[1].1).await.ok();
                for (id, keys) in both {
                    let now = SystemClock.now();
                    let entry = std::slice::from_ref(&entry);
                    let signed = VerifiedEndorsement::sign(entry, &id, now, keys).await.unwrap();
                    endorsements.push(signed.jwt().to_owned());
                }
                let case_secret = entry.case_secret.map(|_| SECRET);
                let deposit = Deposit { entry: entry.id, case_secret, draw };
                Signed { endorsements, deposit }
            })
        });
        join_all(signing.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
    }
}

fn first([author, other]: &[Person; 2], clock: &impl Clock) -> Entry {
    first_entry(&author.id, &other.id, clock)
}

fn following(first: &Entry) -> Entry {
    let (id, kind) = (EntryId::new(&SystemRandomness).unwrap(), EntryKind::Result);
    let (author, counterparty) = (first.counterparty.clone(), first.author.clone());
    let (case_secret, draw) = (None, None);
    Entry { id, kind, author, counterparty, case_secret, draw, ..first.clone() }
}

/// How sending went.
pub struct Sent {
    /// How long it took.
    pub wall: Duration,
    /// Of this whole process, clients included.
    processor: Duration,
    /// Of all answers.
    bytes: usize,
}

/// Sends envelopes, so many at a time; each has to be answered with receipts.
pub async fn send_all(url: &str, prepared: Vec<String>, producers: usize) -> Sent {
    let http = reqwest::Client::new();
    let (start, before) = (Instant::now(), processor_time());
    let answers = stream::iter(prepared).map(|envelope| async {
        let answer = http.post(url).body(envelope).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.text().await.unwrap());
        let are_logged = !answer.contains("refused") && !answer.contains("conflict");
        assert!(status == 200 && are_logged, "{status}: {answer:.300}");
        answer.len()
    });
    let bytes = answers.buffer_unordered(producers).fold(0, async |sum, one| sum + one).await;
    Sent { wall: start.elapsed(), processor: processor_time() - before, bytes }
}
