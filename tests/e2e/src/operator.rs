//! What befalls a network from its operator: hospitals revoked and replaced, a minimum version, and
//! documents of before that are offered again.

use hdms::doorman::About;
use hdms::network::{NetworkDocuments, Parameters, sign, verify_by};
use hdms_nodes::base::keys::AwsPrimitives;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::{Config, Institution};
use hdms_nodes::local::network::passphrase;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::server::certificate::Keyring;
use hdms_nodes::server::operator::Operator;
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::network::{HOSPITAL, Network};
use crate::{Result, until};

impl Network {
    /// The operator revokes the hospital; the network's documents say so.
    pub async fn revoke_hospital(&self) -> Result<()> {
        let before = self.documents().await?;
        self.operator()?.revoke(self.hospital_id(), "a test").await?;
        until("a newer map", async || Ok(self.documents().await?.map != before.map)).await
    }

    /// The operator revokes the hospital and admits another one of the same name, with keys of its
    /// own.
    pub async fn replace_hospital(&self) -> Result<Institution> {
        self.revoke_hospital().await?;
        self.further_hospital(HOSPITAL, None).await
    }

    /// The operator admits another hospital, reached at `endpoint` or else where it listens.
    pub async fn further_hospital(
        &self,
        name: &str,
        endpoint: Option<String>,
    ) -> Result<Institution> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let about = About {
            registry_number: "none".into(),
            address: "this machine".into(),
            contact: "this test".into(),
        };
        let own = format!("http://{}", listener.local_addr()?);
        let member = MemberConfig {
            endpoint: Some(endpoint.unwrap_or(own).parse()?),
            about: Some(about),
            ..self.local.personal("another", name)
        };
        let config = Config {
            member,
            api_key: None,
            console: None,
            origins: Vec::new(),
            pages: None,
            samples: None,
        };
        let (clock, stop) = (NodeClock::default(), CancellationToken::new());
        let operator = self.operator()?;
        let admitting = until("an applicant", async || {
            let Some(applicant) = operator.pending(None).await?.pop() else { return Ok(false) };
            operator.admit(applicant.id).await?;
            Ok(true)
        });
        let starting = Institution::start(config, clock, listener, stop);
        let (another, admitted) = tokio::join!(starting, admitting);
        admitted?;
        Ok(another?)
    }

    /// The server asks for this version of the protocol at least.
    pub async fn require_version(&self, minimum_version: u64) -> Result<()> {
        let (folder, clock) = (self.server_folder(), NodeClock::default());
        let keyring = Keyring::open(&folder, passphrase(), clock)?;
        let certificate = keyring.certificate().await?;
        let keys: Vec<_> = certificate.list.doormen.iter().map(|doorman| &doorman.key).collect();
        let documents = self.documents().await?;
        let now: Parameters = verify_by(&documents.parameters, &keys, &AwsPrimitives).await?;
        let next = Parameters { number: now.number + 1, minimum_version, ..now };
        let parameters = sign(&next, &certificate.keys).await?;
        self.offer(&NetworkDocuments { parameters, ..documents }).await
    }

    /// The documents that the server offers.
    pub async fn documents(&self) -> Result<NetworkDocuments> {
        let answer = self.client.get(format!("{}/network", self.url())).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Has the server offer these documents, whatever they say, under its next manifest: as one whose
    /// database was put back in part.
    pub async fn offer(&self, documents: &NetworkDocuments) -> Result<()> {
        let NetworkDocuments { parameters, map, revocations, .. } = documents;
        let mut database = Connection::open(self.database())?;
        let tx = database.transaction()?;
        let kinds = [("parameters", parameters), ("map", map), ("revocations", revocations)];
        for row in kinds {
            tx.execute("UPDATE documents SET jwt = ?2 WHERE kind = ?1", row)?;
        }
        tx.execute("UPDATE settings SET value = value + 1 WHERE key = 'changes'", [])?;
        tx.commit()?;
        until("the documents", async || {
            let NetworkDocuments { parameters: new, map: listed, revocations: list, .. } =
                self.documents().await?;
            Ok([&new, &listed, &list] == [parameters, map, revocations])
        })
        .await
    }

    fn operator(&self) -> Result<Operator> {
        Ok(Operator::of(&self.server_folder())?)
    }
}
