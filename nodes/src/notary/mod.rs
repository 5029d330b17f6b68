//! The notary (docs/architecture.md; the papers' steps 9, 13, 20 and 21 of the treatment, 13 to 15 of
//! trading): opens sealed deposits, checks them, numbers and logs a case's entries in a Merkle tree
//! that everyone can read and nobody can understand, and answers with receipts that prove it.

pub mod audit;
mod entries;
mod former;
mod import;
mod log;
mod manifests;
mod newest;
mod quotas;
mod reader;
mod sequencer;
mod services;
mod store;
mod witness;

use std::net::SocketAddr;
use std::sync::Arc;

use hdms::Error;
use hdms::network::NotaryLog;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::base::http::serve::{Serving, Starting, Wait, open_to_all};
use crate::base::keys::open_or_make_log;
use crate::base::log::publication::Published;
use crate::base::log::{Others, publication, tiles};
use crate::base::sqlite::{Database, Schema};
use crate::base::store::{META, SqliteStore};
use crate::base::system::NodeClock;
use crate::member::{Member, MemberConfig};
pub use import::{Import, Imported};
use log::Log;
use manifests::Keeper;
use reader::LogReader;
use sequencer::Sequencer;
use witness::OtherNotaries;

/// File name of the database within the notary's folder.
const FILE: &str = "notary.sqlite";

const SCHEMA: Schema = Schema {
    application: 0x4844_4d03,
    migrations: &[
        META,
        former::TABLE,
        former::SET_ASIDE,
        entries::TABLE,
        tiles::TABLES,
        witness::TABLES,
        manifests::TABLE,
        entries::SECRETS,
        newest::TABLE,
        entries::DRAWS,
        entries::NUMBERS,
    ],
};

/// A running notary.
#[derive(Debug)]
pub struct Notary {
    serving: Serving,
    member: Member,
}

impl Notary {
    /// Joins the network, waiting for its operator if need be, and then serves on `listener` until
    /// `stop` is cancelled; until then it answers what it waits for.
    ///
    /// Errors: those of [`Database::open`], [`open_or_make_log`] and [`Member::join`];
    /// [`Error::StoreCorrupt`] when the log is not what its newest checkpoint says.
    pub async fn start(
        config: MemberConfig,
        listener: TcpListener,
        clock: NodeClock,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let database = Database::open(&config.data.join(FILE), &SCHEMA)?;
        let keys = Arc::new(open_or_make_log(&config.data, &config.passphrase)?);
        let store = SqliteStore::over(database.clone());
        let config = MemberConfig { log: Some(keys.public()), ..config };
        let url = config.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
        let starting = Starting::listen(listener, &url, config.costs.limits.clone(), &stop);
        let wait = |wait: &Wait| starting.wait(wait);
        let member = Member::join_telling(config, store, clock.clone(), stop.clone(), wait).await?;
        let own = NotaryLog { notary: member.id().clone(), keys: keys.public(), until: None };
        let key = own.log_key();
        let import = Import { database: database.clone(), keys: keys.clone(), key: key.clone() };
        former::take_over(&import).await?;
        let reader = LogReader::new(database.clone(), key.clone());
        let roll = OtherNotaries { member: member.clone(), clock: clock.clone() };
        let witnesses = Others::new(roll, member.client().clone(), reader.tiles());
        let witness =
            witness::routes(member.clone(), keys.clone(), database.clone(), clock.clone());
        let kept = database.clone();
        let sequencer =
            Sequencer::open(member.clone(), keys, key, database, clock.clone(), witnesses).await?;
        let keeper = Keeper::new(member.clone(), kept);
        let keeping = tokio::spawn(keeper.clone().run(stop.clone()));
        let (log, sequencer) = Log::start(member.clone(), sequencer, reader.clone(), clock.clone());
        let router = services::routes(member.clone(), log, keeper.clone(), clock)
            .nest("/log", publication::routes(reader))
            .merge(witness)
            .merge(manifests::routes(keeper.clone()));
        let serving = starting.serve(open_to_all(router));
        let kept_up = member.clone();
        let beside = tokio::spawn(async move { kept_up.ended().await });
        let serving = serving.alongside(sequencer).alongside(keeping).alongside(beside);
        Ok(Self { serving, member })
    }

    /// The notary as a member of the network.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// What serves it, to stop it with.
    pub fn serving(self) -> Serving {
        self.serving
    }
}
