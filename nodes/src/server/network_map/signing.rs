//! What the network's documents say, signed anew where it is new.

use hdms::Error;
use hdms::base64url::digest;
use hdms::envelope;
use hdms::ids::NodeId;
use hdms::json;
use hdms::network::{
    self, Manifest, NetworkDocument, NetworkDocuments, NetworkMap, NotaryLog, PROTOCOL_VERSION,
    Parameters, PinnedLog, Revocations, Superseded, Witness,
};
use hdms::provider::Clock;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::super::certificate::Certificate;
use super::super::manifests::{Newest, Next};
use super::super::rules::History;
use super::Network;
use crate::base::sqlite::Failure;

impl Network {
    /// Parameters, map and revocation list.
    pub(super) async fn drafts(
        &self,
        (certificate, rules, pinned): (&Certificate, &History, Vec<PinnedLog>),
        (nodes, logs): (Vec<String>, Vec<NotaryLog>),
        ended: (Vec<NodeId>, Vec<Superseded>),
        iat: u64,
    ) -> Result<[Draft; 3], Error> {
        let iss = || certificate.id.clone();
        let forever = u64::MAX;
        let parameters = |iat, number| {
            let pinned_logs = pinned.clone();
            Parameters { pinned_logs, ..self.parameters((certificate, rules), iat, number) }
        };
        let (said, parameters) = (parameters(0, 0), |number| parameters(iat, number));
        let map = |number| {
            let (nodes, logs) = (nodes.clone(), logs.clone());
            NetworkMap { iss: iss(), iat, number, nodes, logs }
        };
        let revocations = |number| {
            let (revoked, superseded) = ended.clone();
            let revoked = revoked.into_iter().collect();
            Revocations { iss: iss(), iat, number, revoked, superseded }
        };
        let (by, age) = (certificate, rules.revocation_age / 4);
        Ok([
            self.draft(by, "parameters", &said, forever, parameters).await?,
            self.draft(by, "map", &(&nodes, &logs), forever, map).await?,
            self.draft(by, "revocations", &ended, age, revocations).await?,
        ])
    }

    /// The manifest that is to follow `newest`, unless that says it all.
    pub(super) async fn next(
        &self,
        (certificate, rules): (&Certificate, &History),
        newest: Option<Newest>,
        drafts: &[Draft; 3],
        (notaries, members): (Vec<NodeId>, Vec<NotaryLog>),
        now: u64,
    ) -> Result<Option<Next>, Error> {
        let mut documents = unbound(certificate, drafts);
        let age = rules.revocation_age;
        let witnesses =
            newest.as_ref().map_or_else(Vec::new, |newest| newest.next_witnesses(&members));
        let number = newest.as_ref().map_or(1, |newest| newest.claims.number + 1);
        let (iss, times) = (certificate.id.clone(), (now, now + age));
        let named = (notaries, witnesses);
        let claims = Manifest::binding(iss, number, times, &documents, named);
        let before = newest.as_ref().map(|newest| &newest.claims);
        let same = before.is_some_and(|before| {
            let (number, iat, exp) = (before.number, before.iat, before.exp);
            let young = before.iat + age / 4 > now;
            young && Manifest { number, iat, exp, ..claims.clone() } == *before
        });
        if same {
            return Ok(None);
        }
        let required = required(before, certificate);
        let turning = before.is_none_or(|before| {
            before.doormen != claims.doormen || before.witnesses != claims.witnesses
        });
        documents.manifest = network::sign(&claims, &certificate.keys).await?;
        Ok(Some(Next { claims, documents, required, turning }))
    }

    fn parameters(
        &self,
        (certificate, rules): (&Certificate, &History),
        iat: u64,
        number: u64,
    ) -> Parameters {
        Parameters {
            iss: certificate.id.clone(),
            iat,
            number,
            name: rules.name.clone(),
            root: certificate.list.iss.clone(),
            max_envelope: envelope::MAX_BYTES as u64,
            // What was set when this server spoke an older version admits nobody whom it can't serve.
            minimum_version: rules.minimum_version.max(PROTOCOL_VERSION),
            revocation_age: rules.revocation_age,
            vapid: Some(self.vapid.clone()),
            witnesses: rules.witnesses.clone(),
            pinned_logs: Vec::new(),
        }
    }

    /// The signed document of this kind: the kept one while its content is `content` and it is
    /// younger than `age`, else a new one.
    async fn draft<D: NetworkDocument>(
        &self,
        certificate: &Certificate,
        kind: &'static str,
        content: &impl Serialize,
        age: u64,
        document: impl FnOnce(u64) -> D,
    ) -> Result<Draft, Error> {
        let content = digest(json::write(&(&certificate.id, content))?);
        let now = self.clock.now().seconds();
        let kept = self.database.read(move |connection| kept_document(connection, kind)).await?;
        let number = match kept {
            Some(kept) if kept.content == content && kept.issued.saturating_add(age) > now => {
                return Ok(Draft { jwt: kept.jwt, new: None });
            }
            Some(kept) => kept.number + 1,
            None => 1,
        };
        let jwt = network::sign(&document(number), &certificate.keys).await?;
        let row = Row { kind, number, issued: now, content, jwt: jwt.clone() };
        Ok(Draft { jwt, new: Some(row) })
    }
}

/// Who has to co-sign the manifest that follows this one: those whom it names; where the root key has
/// signed another list since, those whom that names.
pub(super) fn required(before: Option<&Manifest>, certificate: &Certificate) -> Vec<Witness> {
    match before.filter(|before| before.doormen == digest(&certificate.jwt)) {
        Some(before) => before.witnesses.clone(),
        None => certificate.list.log.as_ref().map_or_else(Vec::new, |log| log.witnesses.clone()),
    }
}

/// The documents that a manifest is to bind, without it.
fn unbound(
    certificate: &Certificate,
    [parameters, map, revocations]: &[Draft; 3],
) -> NetworkDocuments {
    NetworkDocuments {
        doormen: certificate.jwt.clone(),
        parameters: parameters.jwt.clone(),
        map: map.jwt.clone(),
        revocations: revocations.jwt.clone(),
        manifest: String::new(),
        proof: String::new(),
        consistency: Vec::new(),
        before: Vec::new(),
    }
}

/// A document, and the row that is to keep it if it is new: all of one manifest in one transaction
/// with it.
pub(super) struct Draft {
    jwt: String,
    new: Option<Row>,
}

impl Draft {
    /// Keeps it if it is new.
    pub fn keep(&self, tx: &Connection) -> Result<(), Failure> {
        self.new.as_ref().map_or(Ok(()), |row| row.keep(tx))
    }
}

struct Row {
    kind: &'static str,
    number: u64,
    issued: u64,
    content: String,
    jwt: String,
}

impl Row {
    fn keep(&self, tx: &Connection) -> Result<(), Failure> {
        let row = (self.kind, self.number, self.issued, &self.content, &self.jwt);
        tx.execute("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
        Ok(())
    }
}

struct KeptDocument {
    number: u64,
    issued: u64,
    content: String,
    jwt: String,
}

fn kept_document(connection: &Connection, kind: &str) -> Result<Option<KeptDocument>, Failure> {
    let sql = "SELECT number, issued, content, jwt FROM documents WHERE kind = ?1";
    let row = connection.prepare_cached(sql)?.query_row([kind], |row| {
        Ok(KeptDocument {
            number: row.get(0)?,
            issued: row.get(1)?,
            content: row.get(2)?,
            jwt: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}
