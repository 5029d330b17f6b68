//! The network's root key, which says which keys are the Doorman's (docs/architecture.md). It stays on
//! a machine that no network reaches, in a folder of its own with every list that it has signed; a
//! server's [`Request`] goes there and the signed list comes back, each as a file.

use std::fs;
use std::path::{Path, PathBuf};

use hdms::Error;
use hdms::card;
use hdms::ids::NodeId;
use hdms::jose::jws::{Kind, Unverified};
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::{
    DoormanKey, Doormen, MAX_DOCUMENT, ManifestsLog, NetworkDocument, sign, verify_by,
};
use hdms::provider::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::durable;
use crate::base::keys::{self, AwsKeys, AwsPrimitives, Passphrase};

/// The name of the file with the public half, a JWK, for everyone to pin.
pub const PUBLIC_FILE: &str = "root.jwk";

/// How long a list counts unless it is said otherwise, years.
pub const YEARS: u64 = 2;

const YEAR: u64 = 365 * 24 * 3600;

/// How long the former key's new cards still count, for the time until the list has reached the
/// server: a week, in seconds.
const ON_THE_WAY: u64 = 7 * 24 * 3600;

/// What a server asks the root key for: the claims of an `hdms-doorman-request+jwt`, signed with the
/// key that is to be certified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Request {
    /// Thumbprint of the key.
    pub iss: NodeId,
    /// Signed at, seconds.
    pub iat: u64,
    /// The key.
    pub key: RsaJwk,
    /// The list that the server has now, an `hdms-doormen+jwt`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doormen: Option<String>,
    /// The log of manifests, with the witnesses that are to co-sign the first under the new list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<ManifestsLog>,
}

impl NetworkDocument for Request {
    const KIND: Kind = Kind { typ: "hdms-doorman-request+jwt", longest: MAX_DOCUMENT };

    fn issuer(&self) -> &NodeId {
        &self.iss
    }
}

impl Request {
    /// Checks that the key has signed it. [`Error::PossessionUnproven`].
    pub async fn verify(jwt: &str) -> Result<Self, Error> {
        let unproven = Error::PossessionUnproven;
        let unverified = Unverified::parse(jwt, &Self::KIND, unproven)?;
        let Self { key, .. } = json::read(unverified.payload().clone(), unproven)?;
        verify_by(jwt, &[&key], &AwsPrimitives).await.map_err(|_| unproven)
    }
}

/// What the next list is to say beside the requested key.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// How long the list counts, years.
    pub years: u64,
    /// Thumbprints of keys that were stolen: nothing that they signed counts any more.
    pub drop: Vec<String>,
}

/// The root key.
#[derive(Debug)]
pub struct Root {
    folder: PathBuf,
    keys: AwsKeys,
    id: NodeId,
}

impl Root {
    /// Opens the key kept in `folder`. [`Error::UnknownKey`] when there is none, and the errors of
    /// [`keys::open_or_make`].
    pub fn open(folder: &Path, passphrase: &Passphrase) -> Result<Self, Error> {
        if !folder.join(keys::KEY_FILE).exists() {
            return Err(Error::UnknownKey);
        }
        Self::open_or_make(folder, passphrase)
    }

    /// Opens the key kept in `folder`, or makes a new one, and writes its public half beside it.
    pub fn open_or_make(folder: &Path, passphrase: &Passphrase) -> Result<Self, Error> {
        let keys = keys::open_or_make(folder, passphrase)?;
        let public = folder.join(PUBLIC_FILE);
        if !public.exists() {
            let jwk = json::write(keys.public().0)?;
            durable::write(folder, &public, &jwk).map_err(|_| Error::StoreFailed)?;
        }
        let id = keys.public().0.thumbprint().parse()?;
        Ok(Self { folder: folder.to_owned(), keys, id })
    }

    /// The public half.
    pub fn public(&self) -> &RsaJwk {
        self.keys.public().0
    }

    /// The list that is to be signed for a request: its key signs from then on, and the keys of the
    /// last list become former ones, but for those to be dropped and those whose cards have all
    /// expired.
    ///
    /// Errors: [`Error::UnknownKey`] when a key to be dropped is not in the last list,
    /// [`Error::CardRevoked`] when the requested key is to be dropped or was retired before,
    /// [`Error::LogForged`] when the request names another log of manifests than the last list,
    /// [`Error::NetworkForged`] for a list that this key has not signed.
    pub async fn next(
        &self,
        request: &Request,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Doormen, Error> {
        let last = self.last(request).await?;
        let log = last.as_ref().and_then(|last| last.log.as_ref()).map(|log| log.log_key);
        if log.is_some() && request.log.as_ref().map(|log| log.log_key) != log {
            return Err(Error::LogForged);
        }
        let (number, former) = last.map_or((0, Vec::new()), |last| (last.number, last.doormen));
        let is_former = |thumbprint: &String| {
            former.iter().any(|doorman| doorman.key.thumbprint() == *thumbprint)
        };
        if !terms.drop.iter().all(is_former) {
            return Err(Error::UnknownKey);
        }
        let retired = former.iter().any(|old| old.key == request.key && old.until.is_some());
        let dropped = |key: &RsaJwk| terms.drop.contains(&key.thumbprint());
        if retired || dropped(&request.key) {
            return Err(Error::CardRevoked);
        }
        let iat = now.seconds();
        let mut doormen = vec![DoormanKey { key: request.key.clone(), until: None }];
        for DoormanKey { key, until } in former {
            let until = until.unwrap_or(iat + ON_THE_WAY);
            if key != request.key && !dropped(&key) && until + card::LIFETIME > iat {
                doormen.push(DoormanKey { key, until: Some(until) });
            }
        }
        let exp = iat + terms.years.saturating_mul(YEAR);
        let log = request.log.clone();
        Ok(Doormen { iss: self.id.clone(), iat, exp, number: number + 1, doormen, log })
    }

    /// Signs a list of [`Root::next`] and keeps it. Answers the JWT. [`Error::StoreFailed`], also
    /// when a list with its number was signed before.
    pub async fn sign(&self, list: &Doormen) -> Result<String, Error> {
        let jwt = sign(list, &self.keys).await?;
        let path = self.folder.join(file_name(list.number));
        durable::write(&self.folder, &path, jwt.as_bytes()).map_err(|_| Error::StoreFailed)?;
        Ok(jwt)
    }

    /// The newest list that it has signed, as far as it or the server knows. [`Error::NetworkForged`],
    /// [`Error::StoreFailed`].
    pub async fn last(&self, request: &Request) -> Result<Option<Doormen>, Error> {
        let mut lists = Vec::new();
        for jwt in self.newest_kept()?.iter().chain(&request.doormen) {
            lists.push(verify_by::<Doormen>(jwt, &[self.public()], &AwsPrimitives).await?);
        }
        Ok(lists.into_iter().max_by_key(|list| list.number))
    }

    fn newest_kept(&self) -> Result<Option<String>, Error> {
        let failed = |_| Error::StoreFailed;
        let names = fs::read_dir(&self.folder).map_err(failed)?.map(|entry| {
            let name = entry.map_err(failed)?.file_name().into_string().unwrap_or_default();
            Ok(number_of(&name))
        });
        let numbers = names.collect::<Result<Vec<_>, Error>>()?;
        let Some(newest) = numbers.into_iter().flatten().max() else { return Ok(None) };
        fs::read_to_string(self.folder.join(file_name(newest))).map(Some).map_err(failed)
    }
}

/// The name of the file that keeps the list with this number: one for each, so that none takes the
/// place of another.
pub fn file_name(number: u64) -> String {
    format!("doormen-{number}.jwt")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("doormen-")?.strip_suffix(".jwt")?.parse().ok()
}
