//! What `hdms server` allows: how much may wait in mailboxes, how often may be
//! asked, and by how many at a time.

use clap::Args;
use hdms_nodes::connections::Limits;
use hdms_nodes::server::{Quota, Quotas, Rates};

/// How much may wait until it is acknowledged or expires.
#[derive(Debug, Args)]
pub struct QuotaArgs {
    /// Messages that may wait in one mailbox.
    #[arg(long, default_value_t = Quotas::default().mailbox.messages)]
    mailbox_messages: u64,
    /// Bytes of envelopes that may wait in one mailbox.
    #[arg(long, default_value_t = Quotas::default().mailbox.bytes)]
    mailbox_bytes: u64,
    /// Messages of one sender that may wait in all mailboxes together.
    #[arg(long, default_value_t = Quotas::default().sender.messages)]
    sender_messages: u64,
    /// Bytes of envelopes of one sender that may wait in all mailboxes together.
    #[arg(long, default_value_t = Quotas::default().sender.bytes)]
    sender_bytes: u64,
    /// Messages of one sender that may wait in one mailbox.
    #[arg(long, default_value_t = Quotas::default().sender_in_mailbox.messages)]
    sender_mailbox_messages: u64,
    /// Bytes of envelopes of one sender that may wait in one mailbox.
    #[arg(long, default_value_t = Quotas::default().sender_in_mailbox.bytes)]
    sender_mailbox_bytes: u64,
}

/// How many connections there may be.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Connections at a time; from one address half of them. The system's limit of open files must
    /// allow as many.
    #[arg(long, default_value_t = Limits::default().connections)]
    connections: usize,
}

/// How often may be asked, in any minute.
#[derive(Debug, Args)]
pub struct RateArgs {
    /// Admission requests that one address may send a minute.
    #[arg(long, default_value_t = Rates::default().admissions)]
    admissions_per_minute: u32,
    /// Admission requests that one node may send a minute.
    #[arg(long, default_value_t = Rates::default().admissions_of_node)]
    node_admissions_per_minute: u32,
    /// Requests with a failing proof that one address may send a minute.
    #[arg(long, default_value_t = Rates::default().failures)]
    failures_per_minute: u32,
    /// Requests that one personal node may send a minute; institutions and notaries ten times that.
    #[arg(long, default_value_t = Rates::default().requests)]
    requests_per_minute: u32,
    /// Live streams that one node may have at a time.
    #[arg(long, default_value_t = Rates::default().streams)]
    streams_per_node: usize,
}

impl From<QuotaArgs> for Quotas {
    fn from(args: QuotaArgs) -> Self {
        let quota = |messages, bytes| Quota { messages, bytes };
        Self {
            mailbox: quota(args.mailbox_messages, args.mailbox_bytes),
            sender: quota(args.sender_messages, args.sender_bytes),
            sender_in_mailbox: quota(args.sender_mailbox_messages, args.sender_mailbox_bytes),
        }
    }
}

impl From<RateArgs> for Rates {
    fn from(args: RateArgs) -> Self {
        Self {
            admissions: args.admissions_per_minute,
            admissions_of_node: args.node_admissions_per_minute,
            failures: args.failures_per_minute,
            requests: args.requests_per_minute,
            streams: args.streams_per_node,
        }
    }
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        Self { connections: args.connections, ..Self::default() }
    }
}
