//! A patient whose post is carried by hand: each piece none, one, two or five times, in no order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hdms::Error;
use hdms::ids::CaseId;
use hdms::ledger::VerifiedReceipt;
use hdms::mailbox::MAX_PAGE;
use hdms::node::{OutboxItem, Outcome, Parcel, Payload};
use hdms::treatment::Flow;
use hdms::treatment::patient::{PatientCase, Phase, ResultStatus};
use hdms_nodes::base::http::client::Deposited;
use hdms_nodes::institution::platform::NativeNode;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::chance::Chance;

pub struct Patient {
    pub node: Arc<NativeNode>,
    queue: UnboundedReceiver<OutboxItem>,
    chance: Chance,
    outgoing: Vec<OutboxItem>,
    /// Everything up to here was acknowledged.
    acknowledged: u64,
    /// Places beyond that, whose messages were taken in.
    taken: HashSet<u64>,
    /// Where each envelope lay.
    places: HashMap<String, u64>,
}

impl Patient {
    pub fn new(
        node: Arc<NativeNode>,
        queue: UnboundedReceiver<OutboxItem>,
        chance: Chance,
    ) -> Self {
        let (outgoing, taken, places) = Default::default();
        Self { node, queue, chance, outgoing, acknowledged: 0, taken, places }
    }

    /// Carries what there is once, in both directions, and decides what is open.
    pub async fn act(&mut self, cases: &[CaseId]) {
        while let Ok(item) = self.queue.try_recv() {
            self.outgoing.push(item);
        }
        let mut outgoing = std::mem::take(&mut self.outgoing);
        self.chance.shuffle(&mut outgoing);
        for item in outgoing {
            if !self.send(&item).await {
                self.outgoing.push(item);
            }
        }
        // The server may be away.
        let _away = self.fetch().await;
        for case in cases {
            self.confirm(case).await;
        }
    }

    /// Whether the other side has answered.
    async fn send(&self, item: &OutboxItem) -> bool {
        let (parcels, _) = self.node.parcels(vec![item.clone()]).await;
        let client = self.node.platform().member().client();
        let Some(parcel) = parcels.into_iter().next() else { return false };
        let mut answered = false;
        for _ in 0..self.chance.times() {
            match &parcel {
                Parcel::Inbox { endpoint, item } => {
                    let Payload::Envelope { compact, .. } = &item.payload else { panic!() };
                    match client.send_envelope(endpoint.as_ref(), compact.clone()).await {
                        Ok(_) => self.node.delivered(item).await.unwrap(),
                        Err(problem) if problem.error.is_permanent() => panic!("{}", problem.error),
                        Err(_) => continue,
                    }
                }
                Parcel::Deposits { endpoint, items, envelope } => {
                    let answer = client.deposit(endpoint.as_ref(), envelope.clone()).await;
                    let Ok(Deposited { answers, .. }) = answer else { continue };
                    let answer = self.node.deposit_answered::<PatientCase>(&items[0], &answers);
                    answer.await.unwrap();
                }
                Parcel::Mailbox { .. } => panic!("a patient writes to no other patient"),
            }
            answered = true;
        }
        answered
    }

    async fn fetch(&mut self) -> Result<(), Error> {
        let member = self.node.platform().member();
        let (client, server) = (member.client(), member.server());
        let after = self.acknowledged;
        let mut messages = client.mailbox(server, member.signer(), after, MAX_PAGE).await?.messages;
        let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
        self.chance.shuffle(&mut messages);
        for message in messages {
            let place = *self.places.entry(message.envelope.clone()).or_insert(message.seq);
            assert_eq!(place, message.seq, "a message came twice");
            for _ in 0..self.chance.times() {
                let again = self.taken.contains(&message.seq);
                let received = self.node.receive::<PatientCase>(message.envelope.as_bytes()).await;
                let outcome = received.unwrap().outcome;
                assert!(!again || outcome != Outcome::Applied, "it took effect twice");
                self.taken.insert(message.seq);
            }
        }
        let done = seqs.iter().take_while(|seq| self.taken.contains(seq)).last().copied();
        if let Some(upto) = done {
            client.acknowledge(server, member.signer(), upto, Vec::new()).await?;
            self.acknowledged = upto;
            self.taken.retain(|seq| *seq > upto);
        }
        Ok(())
    }

    async fn confirm(&self, case: &CaseId) {
        let state: PatientCase = self.node.case(case).await.unwrap();
        let received = |status: &ResultStatus| *status == ResultStatus::Received;
        let received = state.results.iter().filter(|result| received(&result.status));
        let mut entries: Vec<_> = received.map(|result| result.entry.id.clone()).collect();
        self.chance.shuffle(&mut entries);
        entries.truncate(1 + self.chance.below(entries.len().max(1)));
        if !entries.is_empty() {
            self.node.confirm(case, &entries).await.unwrap();
        }
    }

    /// Whether nothing is on its way from or to it, and every result is final.
    pub async fn is_done(&self, cases: &[CaseId]) -> bool {
        for case in cases {
            let state: PatientCase = self.node.case(case).await.unwrap();
            let final_ = |status: &ResultStatus| matches!(status, ResultStatus::Committed { .. });
            if state.phase != Phase::Approved
                || !state.results.iter().all(|one| final_(&one.status))
            {
                return false;
            }
        }
        self.outgoing.is_empty()
            && self.taken.is_empty()
            && self.node.waiting("", 1).await.unwrap().is_empty()
    }

    /// The places in the log of a case's entries, in their order.
    pub async fn receipts(&self, case: &CaseId) -> BTreeMap<usize, (String, u64)> {
        let mut receipts = self.verified(case).await;
        receipts.sort_by_key(|receipt| receipt.receipt().number);
        let receipts = receipts.iter().map(VerifiedReceipt::receipt);
        receipts.map(|receipt| (receipt.entry.to_string(), receipt.index)).enumerate().collect()
    }

    /// The receipts of a case as the notary wrote them.
    pub async fn receipt_texts(&self, case: &CaseId) -> Vec<String> {
        let receipts = self.verified(case).await;
        receipts.iter().map(|receipt| receipt.text().to_owned()).collect()
    }

    async fn verified(&self, case: &CaseId) -> Vec<VerifiedReceipt> {
        let state: PatientCase = self.node.case(case).await.unwrap();
        let mut receipts = Vec::new();
        for entry in state.entries() {
            receipts.push(self.node.receipt(case, &entry.id).await.unwrap().unwrap());
        }
        receipts
    }
}
