//! The Doorman's key and the root's word for it: the newest list of Doormen, which the server keeps
//! and offers. The root key itself is elsewhere ([`crate::server::root`]).

use std::fs;
use std::path::{Path, PathBuf};

use hdms::Error;
use hdms::base64url::digest;
use hdms::ids::NodeId;
use hdms::json;
use hdms::jwk::RsaJwk;
use hdms::network::{Doormen, ManifestsLog, sign, verify_by};
use hdms::provider::Clock;
use serde::{Deserialize, Serialize};

use super::trail::{self, Act};
use super::{manifests, nodes, schema};
use crate::base::keys::{self, AwsKeys, AwsPrimitives, KEY_FILE, NotaryKeys, Passphrase};
use crate::base::sqlite::Database;
use crate::base::system::NodeClock;
use crate::server::root::{Request, Root, Terms, YEARS};

/// The folder of the Doorman's key within the server's, and within it that of the key which is to
/// follow.
const PRESENT: &str = "doorman";
const NEXT: &str = "doorman/next";

/// The folder of the key of the manifests' log.
const MANIFESTS: &str = "manifests";

/// The server's own value that keeps the list, and the one of before there were lists.
const INSTALLED: &str = "doormen";
const FORMER: &str = "certified";

/// Where the root's key lay in the server's folder then.
const FORMER_ROOT: &str = "root";

/// The list as the server keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Installed {
    root: RsaJwk,
    doormen: String,
}

/// What was kept before: a certificate for one key, which is of no use any more, and its root.
#[derive(Deserialize)]
struct Former {
    root: RsaJwk,
}

/// The key that signs now, and the list that says so.
#[derive(Debug)]
pub struct Certificate {
    /// The key.
    pub keys: AwsKeys,
    /// Its thumbprint.
    pub id: NodeId,
    /// The root key's public half.
    pub root: RsaJwk,
    /// The list as it is offered.
    pub jwt: String,
    /// What it says.
    pub list: Doormen,
}

/// The Doorman's keys and the list, in a server's folder.
#[derive(Clone, Debug)]
pub struct Keyring {
    data: PathBuf,
    passphrase: Passphrase,
    database: Database,
    clock: NodeClock,
}

impl Keyring {
    /// Of the server with the folder `data`, which may be running or never have run. Errors as
    /// [`Database::open`].
    pub fn open(data: &Path, passphrase: Passphrase, clock: NodeClock) -> Result<Self, Error> {
        Ok(Self::over(data.to_owned(), passphrase, schema::open(data)?, clock))
    }

    /// The same over the server's own database.
    pub(super) fn over(
        data: PathBuf,
        passphrase: Passphrase,
        database: Database,
        clock: NodeClock,
    ) -> Self {
        Self { data, passphrase, database, clock }
    }

    /// The key that the newest list names. A root key that still lies in the server's folder, as it
    /// used to, replaces the single certificate of then by a list.
    ///
    /// Errors: [`Error::Uncertified`] when there is no list, none for this server's keys or one that
    /// has ended; those of the key files.
    pub async fn certificate(&self) -> Result<Certificate, Error> {
        if self.kept::<Installed>(INSTALLED).await?.is_none() {
            self.replace_former().await?;
        }
        let installed = self.kept::<Installed>(INSTALLED).await?.ok_or(Error::Uncertified)?;
        let Installed { root, doormen: jwt } = installed;
        let list = verify_by::<Doormen>(&jwt, &[&root], &AwsPrimitives).await;
        let list = list.map_err(|_| Error::StoreCorrupt)?;
        if self.clock.now().seconds() >= list.exp {
            return Err(Error::Uncertified);
        }
        let (keys, folder) = self.named_by(&list)?.ok_or(Error::Uncertified)?;
        let log_key = self.log_keys()?.public().log_key;
        let named = list.log.as_ref().is_some_and(|log| log.log_key == log_key);
        if !named {
            return Err(Error::Uncertified);
        }
        if folder == NEXT {
            let (next, present) = (self.data.join(NEXT), self.data.join(PRESENT));
            fs::rename(next.join(KEY_FILE), present.join(KEY_FILE))
                .map_err(|_| Error::StoreFailed)?;
        }
        let id = keys.public().0.thumbprint().parse()?;
        Ok(Certificate { keys, id, root, jwt, list })
    }

    /// Whether this is still the list that is kept.
    pub async fn is_newest(&self, certificate: &Certificate) -> Result<bool, Error> {
        let kept = self.kept::<Installed>(INSTALLED).await?;
        Ok(kept.is_some_and(|kept| kept.doormen == certificate.jwt))
    }

    /// What the root key is to certify: the key that is to follow, if there is one, else the present
    /// one, which is made where there is none. Answers the signed [`Request`] and the key's
    /// thumbprint.
    pub async fn request(&self) -> Result<(String, String), Error> {
        let next = self.data.join(NEXT).join(KEY_FILE).exists();
        let keys = self.keys(if next { NEXT } else { PRESENT })?;
        let doormen = self.kept::<Installed>(INSTALLED).await?.map(|kept| kept.doormen);
        let key = keys.public().0.clone();
        let thumbprint = key.thumbprint();
        let (iss, iat) = (thumbprint.parse()?, self.clock.now().seconds());
        let witnesses = self.database.read(manifests::standing).await?;
        let log = Some(ManifestsLog { log_key: self.log_keys()?.public().log_key, witnesses });
        Ok((sign(&Request { iss, iat, key, doormen, log }, &keys).await?, thumbprint))
    }

    /// Makes the key that is to follow the present one, unless there is one. It is used as soon as
    /// a list that names it is installed.
    pub fn make_next(&self) -> Result<(), Error> {
        self.keys(NEXT).map(drop)
    }

    /// Checks a list against the pinned root key and keeps it; a running server takes notice.
    /// `root` is the key to pin when none is pinned yet. Answers the list.
    ///
    /// Errors: [`Error::NetworkForged`] when the pinned key has not signed it, or `root` is another;
    /// [`Error::KeyMalformed`] when there is neither; [`Error::Expired`];
    /// [`Error::NetworkRollback`] unless it is newer than the one kept; [`Error::UnknownKey`] when
    /// this server has not the keys that it names.
    pub async fn install(&self, jwt: &str, root: Option<&RsaJwk>) -> Result<Doormen, Error> {
        let pinned = self.pinned().await?;
        if root.is_some() && pinned.is_some() && root != pinned.as_ref() {
            return Err(Error::NetworkForged);
        }
        let root = pinned.as_ref().or(root).ok_or(Error::KeyMalformed)?;
        let list: Doormen = verify_by(jwt, &[root], &AwsPrimitives).await?;
        let now = self.clock.now().seconds();
        if now >= list.exp {
            return Err(Error::Expired);
        }
        let former = self.kept::<Installed>(INSTALLED).await?.map(|kept| kept.doormen);
        if let Some(former) = &former {
            let former: Doormen = verify_by(former, &[root], &AwsPrimitives).await?;
            if list.number <= former.number {
                return Err(Error::NetworkRollback);
            }
        }
        self.named_by(&list)?.ok_or(Error::UnknownKey)?;
        let log_key = self.log_keys()?.public().log_key;
        if list.log.as_ref().is_none_or(|log| log.log_key != log_key) {
            return Err(Error::UnknownKey);
        }
        let kept = Installed { root: root.clone(), doormen: jwt.to_owned() };
        let kept = serde_json::to_string(&kept).map_err(|_| Error::StoreCorrupt)?;
        let said = list.clone();
        self.database
            .write(move |tx| {
                nodes::set_setting(tx, INSTALLED, &kept)?;
                // Whoever audits the manifests under it asks for it.
                if let Some(former) = former {
                    nodes::set_setting(tx, &manifests::former_list(&digest(&former)), &former)?;
                }
                trail::append(tx, now, Act::Certified, None, &said)?;
                nodes::tell_server(tx)
            })
            .await?;
        Ok(list)
    }

    /// The root key that is pinned, if one is.
    pub async fn pinned(&self) -> Result<Option<RsaJwk>, Error> {
        if let Some(installed) = self.kept::<Installed>(INSTALLED).await? {
            return Ok(Some(installed.root));
        }
        Ok(self.kept::<Former>(FORMER).await?.map(|former| former.root))
    }

    /// All steps at once, unless that was done before: for a network on one machine, which hides
    /// nothing. The root key in `root` and the server's are made where they are not there.
    pub async fn certify_here(&self, root: &Path) -> Result<(), Error> {
        match self.certificate().await {
            Err(Error::Uncertified) => {
                self.certify_by(&Root::open_or_make(root, &self.passphrase)?).await
            }
            opened => opened.map(drop),
        }
    }

    async fn certify_by(&self, root: &Root) -> Result<(), Error> {
        let request = Request::verify(&self.request().await?.0).await?;
        let terms = Terms { years: YEARS, drop: Vec::new() };
        let list = root.next(&request, &terms, self.clock.now()).await?;
        self.install(&root.sign(&list).await?, Some(root.public())).await.map(drop)
    }

    async fn replace_former(&self) -> Result<(), Error> {
        let Some(former) = self.kept::<Former>(FORMER).await? else { return Ok(()) };
        match Root::open(&self.data.join(FORMER_ROOT), &self.passphrase) {
            Ok(root) if *root.public() == former.root => {
                self.certify_by(&root).await?;
                tracing::warn!("the root key lies in the server's folder: move root/ away from it");
                Ok(())
            }
            Ok(_) | Err(Error::UnknownKey) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The keys that a list says sign now, if they are here, and in which folder.
    fn named_by(&self, list: &Doormen) -> Result<Option<(AwsKeys, &'static str)>, Error> {
        for folder in [PRESENT, NEXT] {
            if self.data.join(folder).join(KEY_FILE).exists() {
                let keys = self.keys(folder)?;
                let mut present = list.doormen.iter().filter(|doorman| doorman.until.is_none());
                if present.any(|doorman| doorman.key == *keys.public().0) {
                    return Ok(Some((keys, folder)));
                }
            }
        }
        Ok(None)
    }

    /// The key of the manifests' log, made where there is none. It never changes.
    pub fn log_keys(&self) -> Result<NotaryKeys, Error> {
        keys::open_or_make_log(&self.data.join(MANIFESTS), &self.passphrase)
    }

    fn keys(&self, folder: &str) -> Result<AwsKeys, Error> {
        keys::open_or_make(&self.data.join(folder), &self.passphrase)
    }

    async fn kept<T: serde::de::DeserializeOwned>(
        &self,
        setting: &'static str,
    ) -> Result<Option<T>, Error> {
        let kept = self.database.read(|connection| nodes::setting(connection, setting)).await?;
        kept.map(|text| json::stored(text.as_bytes())).transpose()
    }
}
