//! What `hdms server` goes by, and `hdms server set` changes: the network's rules, how much may wait
//! in mailboxes, how often may be asked, and by how many at a time. What is not given stays.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use clap::Args;
use hdms_nodes::base::http::connections::Limits;
use hdms_nodes::base::http::proxies::{Block, Proxies};
use hdms_nodes::member::costs::Costs;
use hdms_nodes::server::settings::{Allowances, Settings};
use hdms_nodes::server::{Quota, Quotas, Rates, Rules};

/// The option whose value may be in force only later.
pub const WITNESSES: &str = "--witnesses";

/// Everything that can be set.
#[derive(Clone, Debug, Args)]
pub struct SettingArgs {
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    quotas: QuotaArgs,
    #[command(flatten)]
    rates: RateArgs,
    /// Connections at a time; from one address half of them. The system's limit of open files must
    /// allow as many.
    #[arg(long, value_name = "N")]
    connections: Option<NonZeroUsize>,
}

/// What all nodes go by.
#[derive(Clone, Debug, Args)]
struct RuleArgs {
    /// The network's name.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Seconds after which nodes no longer rely on a revocation list.
    #[arg(long, value_name = "SECONDS")]
    revocation_age: Option<u64>,
    /// Other notaries that must have co-signed a notary's log before a receipt counts: 1 unless it is
    /// said otherwise; with 0 nobody watches the notaries.
    #[arg(long, value_name = "N")]
    witnesses: Option<u64>,
    /// Lowest protocol version with which a node may take part.
    #[arg(long, value_name = "N")]
    minimum_version: Option<u64>,
}

/// How much may wait until it is acknowledged or expires.
#[derive(Clone, Debug, Args)]
struct QuotaArgs {
    /// Messages that may wait in one mailbox.
    #[arg(long, value_name = "N")]
    mailbox_messages: Option<NonZeroU64>,
    /// Bytes of envelopes that may wait in one mailbox.
    #[arg(long, value_name = "N")]
    mailbox_bytes: Option<NonZeroU64>,
    /// Messages of one sender that may wait in all mailboxes together.
    #[arg(long, value_name = "N")]
    sender_messages: Option<NonZeroU64>,
    /// Bytes of envelopes of one sender that may wait in all mailboxes together.
    #[arg(long, value_name = "N")]
    sender_bytes: Option<NonZeroU64>,
    /// Messages of one sender that may wait in one mailbox.
    #[arg(long, value_name = "N")]
    sender_mailbox_messages: Option<NonZeroU64>,
    /// Bytes of envelopes of one sender that may wait in one mailbox.
    #[arg(long, value_name = "N")]
    sender_mailbox_bytes: Option<NonZeroU64>,
}

/// Who is believed when it says for whom it asks.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Address, or block of addresses such as 10.0.0.0/8, of a reverse proxy in front of the node: for
    /// whom it says it asks is who asks. May be given several times.
    #[arg(long, value_name = "CIDR", value_parser = block)]
    trusted_proxy: Vec<Block>,
}

fn block(text: &str) -> Result<Block, &'static str> {
    text.parse().map_err(|_| {
        "an address, such as 127.0.0.1, or a block of addresses, such as 10.0.0.0/8; names such as \
         localhost are not looked up"
    })
}

impl From<ProxyArgs> for Proxies {
    fn from(args: ProxyArgs) -> Self {
        args.trusted_proxy.into()
    }
}

/// What others may cost an institution or a notary.
#[derive(Debug, Args)]
pub struct CostArgs {
    /// Connections at a time; from one address half of them. The system's limit of open files must
    /// allow as many.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    connections: usize,
    #[command(flatten)]
    proxies: ProxyArgs,
    /// Messages of one personal node that are taken in a minute; ten times as many of others.
    #[arg(long, value_name = "N", default_value_t = Costs::default().messages)]
    messages_per_minute: u32,
}

/// What others may cost an institution.
#[derive(Debug, Args)]
pub struct InstitutionCostArgs {
    #[command(flatten)]
    shared: CostArgs,
    /// Treatments that one personal node may ask for a day.
    #[arg(long, value_name = "N", default_value_t = Costs::default().treatments)]
    treatments_per_day: u32,
    /// Messages of one node a day that only say again, under another id, what it has said.
    #[arg(long, value_name = "N", default_value_t = Costs::default().repeats)]
    repeats_per_day: u32,
    /// Requests for treatment that wait to be decided, of patients of whom it has approved none.
    #[arg(long, value_name = "N", default_value_t = Costs::default().undecided)]
    undecided_requests: usize,
    /// The same of one address.
    #[arg(long, value_name = "N", default_value_t = Costs::default().undecided_of_address)]
    undecided_requests_of_address: usize,
    /// Requests for treatment of one patient that wait to be decided.
    #[arg(long, value_name = "N", default_value_t = Costs::default().undecided_of_patient)]
    undecided_requests_of_patient: usize,
}

/// What others may cost a notary.
#[derive(Debug, Args)]
pub struct NotaryCostArgs {
    #[command(flatten)]
    shared: CostArgs,
    /// Entries that it logs for one personal node a day; a hundred times as many for others.
    #[arg(long, value_name = "N", default_value_t = Costs::default().entries)]
    entries_per_day: u32,
    /// Entries that it logs between two nodes a day.
    #[arg(long, value_name = "N", default_value_t = Costs::default().entries_of_pair)]
    pair_entries_per_day: u32,
}

impl From<CostArgs> for Costs {
    fn from(args: CostArgs) -> Self {
        let limits = Limits {
            connections: args.connections,
            proxies: args.proxies.into(),
            ..Limits::default()
        };
        Self { limits, messages: args.messages_per_minute, ..Self::default() }
    }
}

impl From<InstitutionCostArgs> for Costs {
    fn from(args: InstitutionCostArgs) -> Self {
        Self {
            treatments: args.treatments_per_day,
            repeats: args.repeats_per_day,
            undecided: args.undecided_requests,
            undecided_of_address: args.undecided_requests_of_address,
            undecided_of_patient: args.undecided_requests_of_patient,
            ..args.shared.into()
        }
    }
}

impl From<NotaryCostArgs> for Costs {
    fn from(args: NotaryCostArgs) -> Self {
        Self {
            entries: args.entries_per_day,
            entries_of_pair: args.pair_entries_per_day,
            ..args.shared.into()
        }
    }
}

/// How often may be asked, in any minute.
#[derive(Clone, Debug, Args)]
struct RateArgs {
    /// Admission requests that one address may send a minute.
    #[arg(long, value_name = "N")]
    admissions_per_minute: Option<NonZeroU32>,
    /// Admission requests that one signing key may have signed a minute.
    #[arg(long, alias = "node-admissions-per-minute", value_name = "N")]
    key_admissions_per_minute: Option<NonZeroU32>,
    /// Requests with a failing proof that one address may send a minute.
    #[arg(long, value_name = "N")]
    failures_per_minute: Option<NonZeroU32>,
    /// Requests that one personal node may send a minute; institutions and notaries ten times that.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<NonZeroU32>,
    /// Live streams that one node may have at a time.
    #[arg(long, value_name = "N")]
    streams_per_node: Option<NonZeroUsize>,
    /// Manifests that are signed an hour; what changes meanwhile is gathered.
    #[arg(long, value_name = "N")]
    manifests_per_hour: Option<NonZeroU32>,
}

impl SettingArgs {
    /// Sets what was given.
    pub fn apply(self, settings: &mut Settings) {
        let Settings { rules, allowances } = settings;
        self.rules.apply(rules);
        self.quotas.apply(&mut allowances.quotas);
        self.rates.apply(&mut allowances.rates);
        put(self.connections, &mut allowances.connections);
    }
}

impl RuleArgs {
    fn apply(self, rules: &mut Rules) {
        put(self.network, &mut rules.name);
        put(self.revocation_age, &mut rules.revocation_age);
        put(self.witnesses, &mut rules.witnesses);
        put(self.minimum_version, &mut rules.minimum_version);
    }
}

impl QuotaArgs {
    fn apply(self, quotas: &mut Quotas) {
        put(self.mailbox_messages, &mut quotas.mailbox.messages);
        put(self.mailbox_bytes, &mut quotas.mailbox.bytes);
        put(self.sender_messages, &mut quotas.sender.messages);
        put(self.sender_bytes, &mut quotas.sender.bytes);
        put(self.sender_mailbox_messages, &mut quotas.sender_in_mailbox.messages);
        put(self.sender_mailbox_bytes, &mut quotas.sender_in_mailbox.bytes);
    }
}

impl RateArgs {
    fn apply(self, rates: &mut Rates) {
        put(self.admissions_per_minute, &mut rates.admissions);
        put(self.key_admissions_per_minute, &mut rates.admissions_of_key);
        put(self.failures_per_minute, &mut rates.failures);
        put(self.requests_per_minute, &mut rates.requests);
        put(self.streams_per_node, &mut rates.streams);
        put(self.manifests_per_hour, &mut rates.manifests);
    }
}

fn put<T>(given: Option<impl Into<T>>, place: &mut T) {
    if let Some(given) = given {
        *place = given.into();
    }
}

/// Each setting as the option that sets it and its value.
pub fn lines(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings { rules, allowances: Allowances { quotas, rates, connections } } = settings;
    let Quotas { mailbox, sender, sender_in_mailbox } = quotas;
    let quota = |names: [&'static str; 2], quota: &Quota| {
        [(names[0], quota.messages.to_string()), (names[1], quota.bytes.to_string())]
    };
    let mut lines = vec![
        ("--network", rules.name.clone()),
        ("--revocation-age", rules.revocation_age.to_string()),
        (WITNESSES, rules.witnesses.to_string()),
        ("--minimum-version", rules.minimum_version.to_string()),
    ];
    lines.extend(quota(["--mailbox-messages", "--mailbox-bytes"], mailbox));
    lines.extend(quota(["--sender-messages", "--sender-bytes"], sender));
    let within = ["--sender-mailbox-messages", "--sender-mailbox-bytes"];
    lines.extend(quota(within, sender_in_mailbox));
    lines.extend([
        ("--admissions-per-minute", rates.admissions.to_string()),
        ("--key-admissions-per-minute", rates.admissions_of_key.to_string()),
        ("--failures-per-minute", rates.failures.to_string()),
        ("--requests-per-minute", rates.requests.to_string()),
        ("--streams-per-node", rates.streams.to_string()),
        ("--manifests-per-hour", rates.manifests.to_string()),
        ("--connections", connections.to_string()),
    ]);
    lines
}
