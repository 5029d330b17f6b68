//! A node's key file, also once the node has changed its keys: after the two keys that it uses come
//! the former encryption keys, the last one first, and then its statements, oldest first, as PEM
//! blocks of their own.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use hdms::Error;
use hdms::card::{KeyChange, MAX_CHANGES};
use hdms::ids::NodeId;
use hdms::jose;
use hdms::json;
use hdms::provider::Timestamp;
use pkcs8::LineEnding;
use pkcs8::der::pem::{decode_vec, encode_string};

use super::file::{self, KEY_FILE, Pkcs8};
use super::{AwsKeys, Passphrase};

const LABEL: &str = "HDMS KEY CHANGE";
const BEGIN: &str = "-----BEGIN HDMS KEY CHANGE-----";
const END: &str = "-----END HDMS KEY CHANGE-----";

/// What the file of a node's keys holds.
pub(super) struct NodeKeyFile {
    private: Vec<Pkcs8>,
    changes: Vec<String>,
}

impl NodeKeyFile {
    pub fn new(private: [Pkcs8; 2]) -> Self {
        Self { private: private.into(), changes: Vec::new() }
    }

    /// [`Error::PassphraseWrong`], [`Error::KeyFileMalformed`].
    pub fn open(text: &str, passphrase: &Passphrase) -> Result<Self, Error> {
        let (private, changes) = text.split_at(text.find(BEGIN).unwrap_or(text.len()));
        let changes = changes.trim_end().split_inclusive(END);
        let changes = changes.filter(|block| !block.is_empty()).map(|block| {
            let pem = format!("{}\n", block.trim_start());
            let (label, bytes) = decode_vec(pem.as_bytes()).map_err(|_| Error::KeyFileMalformed)?;
            let jwt = String::from_utf8(bytes).map_err(|_| Error::KeyFileMalformed)?;
            if label == LABEL { Ok(jwt) } else { Err(Error::KeyFileMalformed) }
        });
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        let private = file::open(private, passphrase)?;
        // Each change left an encryption key behind.
        let fits = private.len() == changes.len() + 2;
        if fits { Ok(Self { private, changes }) } else { Err(Error::KeyFileMalformed) }
    }

    /// What is written into the file. [`Error::CryptoFailed`].
    pub fn to_text(&self, passphrase: &Passphrase) -> Result<String, Error> {
        let mut text = file::sealed(&self.private, passphrase)?;
        for jwt in &self.changes {
            let block = encode_string(LABEL, LineEnding::LF, jwt.as_bytes());
            text.push_str(&block.map_err(|_| Error::CryptoFailed)?);
        }
        Ok(text)
    }

    /// The keys. [`Error::KeyFileMalformed`].
    pub fn keys(&self) -> Result<AwsKeys, Error> {
        let malformed = Error::KeyFileMalformed;
        let [signing, encryption, former @ ..] = self.private.as_slice() else {
            return Err(malformed);
        };
        let keys = AwsKeys::from_pkcs8(signing, encryption).map_err(|_| malformed)?;
        let node = self.changes.first().map(|jwt| node_of(jwt)).transpose()?;
        keys.with_former(former, node, self.changes.clone()).map_err(|_| malformed)
    }

    /// The same with new keys, which the present ones vouch for.
    async fn changed(self, now: Timestamp) -> Result<Self, Error> {
        let old = self.keys()?;
        let new = AwsKeys::generate_pkcs8()?;
        let public = AwsKeys::from_pkcs8(&new[0], &new[1])?;
        let (signing_key, encryption_key) = public.public();
        let (former_signing_key, former_encryption_key) = old.public();
        let change = KeyChange {
            iss: old.node().clone(),
            iat: now.seconds(),
            former_signing_key: former_signing_key.clone(),
            former_encryption_key: former_encryption_key.thumbprint(),
            signing_key: signing_key.clone(),
            encryption_key: encryption_key.clone(),
        };
        let Self { private, mut changes } = self;
        changes.push(change.sign(&old).await?);
        let private = new.into_iter().chain(private.into_iter().skip(1)).collect();
        Ok(Self { private, changes })
    }
}

/// Whose statement it is; its signature is checked wherever it comes with a card.
fn node_of(jwt: &str) -> Result<NodeId, Error> {
    let payload = jwt.split('.').nth(1).and_then(jose::decode).ok_or(Error::KeyFileMalformed)?;
    let change: KeyChange = json::stored(&payload).map_err(|_| Error::KeyFileMalformed)?;
    Ok(change.iss)
}

/// Gives the stopped node with the folder `dir` new keys, with a statement of its present ones that
/// is dated `now`. The file has either the old or the new ones at any time; the former encryption
/// key stays in it, so that what was sealed to it can still be opened. Answers the node's id, which
/// is the same as before.
///
/// Errors: [`Error::NotFound`] when there is no key file; [`Error::CardMalformed`] when the keys were
/// changed as often as a card can tell; [`Error::PassphraseWrong`], [`Error::KeyFileMalformed`],
/// [`Error::StoreFailed`].
pub async fn change(dir: &Path, passphrase: &Passphrase, now: Timestamp) -> Result<NodeId, Error> {
    let path = dir.join(KEY_FILE);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NotFound,
        ErrorKind::InvalidData => Error::KeyFileMalformed,
        _ => Error::StoreFailed,
    })?;
    let before = NodeKeyFile::open(&text, passphrase)?;
    if before.changes.len() >= MAX_CHANGES {
        return Err(Error::CardMalformed);
    }
    let after = before.changed(now).await?;
    let node = after.keys()?.node().clone();
    let text = after.to_text(passphrase)?;
    file::replace_durably(dir, &path, text.as_bytes()).map_err(|_| Error::StoreFailed)?;
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::{END, change};
    use crate::keys::{AwsPrimitives, KEY_FILE, Passphrase, open_or_make};
    use crate::system::SystemRandomness;
    use hdms::Error;
    use hdms::card::{Card, Role, SigningKeys};
    use hdms::jose::jwe;
    use hdms::provider::Timestamp;
    use std::fs;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn p(text: &str) -> Passphrase {
        Passphrase::of_no_secret(text)
    }

    #[tokio::test]
    async fn changed_keys_are_vouched_for_by_the_old_ones_and_open_what_was_sealed_before() {
        let dir = tempfile::tempdir().unwrap();
        let first = open_or_make(dir.path(), &p("p")).unwrap();
        let sealed = jwe::encrypt(
            b"a result".to_vec(),
            None,
            first.public().1,
            &AwsPrimitives,
            &SystemRandomness,
        );
        let sealed = sealed.await.unwrap();
        for changes in 1..=2 {
            let node = change(dir.path(), &p("p"), NOW).await.unwrap();
            let keys = open_or_make(dir.path(), &p("p")).unwrap();
            assert_eq!((&node, keys.changes().len()), (first.node(), changes));
            assert_eq!(keys.node(), first.node());
            assert_ne!(keys.public(), first.public());
            let (signing_key, encryption_key) = keys.public();
            let card = Card {
                iss: node.clone(),
                sub: node,
                role: Role::Institution,
                name: String::new(),
                endpoint: None,
                signing_key: signing_key.clone(),
                encryption_key: encryption_key.clone(),
                changes: keys.changes().to_vec(),
                iat: 0,
                exp: 0,
            };
            let chain = SigningKeys::of(&card, &AwsPrimitives).await.unwrap();
            assert_eq!(chain.changes()[0].former_signing_key, *first.public().0);
            let opened = jwe::Sealed::parse(&sealed).unwrap().decrypt(&keys, &AwsPrimitives).await;
            assert_eq!(opened.unwrap(), b"a result");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn keys_stay_as_they_are_when_they_cant_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (home, path) = (dir.path(), dir.path().join(KEY_FILE));
        assert_eq!(change(home, &p("p"), NOW).await, Err(Error::NotFound));
        open_or_make(home, &p("p")).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        assert_eq!(change(home, &p("wrong"), NOW).await, Err(Error::PassphraseWrong));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        change(home, &p("p"), NOW).await.unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let without_statement = whole.split_at(whole.find("-----BEGIN HDMS").unwrap()).0;
        for damaged in [without_statement, whole.trim_end().strip_suffix(END).unwrap()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(open_or_make(home, &p("p")).err(), Some(Error::KeyFileMalformed));
            assert_eq!(change(home, &p("p"), NOW).await, Err(Error::KeyFileMalformed));
        }
    }
}
