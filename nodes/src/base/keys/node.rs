//! What is in a node's key file: first how many keys and statements it has and until when each former
//! encryption key is needed, then the private keys, the one that signs, the one that signs requests and
//! those that open, of which the newest comes first, and last the node's statements that it changed its
//! signing key, oldest first. All are PEM blocks. A file of before there were request keys has none; one of
//! version 1 begins with the private keys.

use hdms::Error;
use hdms::base64url;
use hdms::card::KeyChange;
use hdms::ids::NodeId;
use hdms::json;
use hdms::provider::Timestamp;
use pkcs8::LineEnding;
use pkcs8::der::pem::{decode_vec, encode_string};
use serde::{Deserialize, Serialize};

use super::aws::AwsKeys;
use super::es256::Es256Key;
use super::passphrase::Passphrase;
use super::sealed::{self, OWN, Pkcs8};

const CONTENTS: &str = "HDMS KEYS";
const CHANGE: &str = "HDMS KEY CHANGE";
const BEGIN: &str = "-----BEGIN ";

/// How long a former encryption key is kept once the node's card names another: as long as what was
/// sealed to it may lie in a mailbox.
const KEPT: u64 = hdms::envelope::LIFETIME;

/// What the file of a node's keys holds.
pub(super) struct NodeKeyFile {
    signing: Pkcs8,
    request: Pkcs8,
    encryption: Vec<(Pkcs8, Option<u64>)>,
    changes: Vec<String>,
    /// Whether the request key was made just now, for a file that had none.
    is_older: bool,
}

/// The first block.
#[derive(Serialize, Deserialize)]
struct Contents {
    /// Whether there is a request key.
    #[serde(default)]
    request: bool,
    /// Until when each encryption key is kept, seconds; null for one that the card names or will name.
    encryption: Vec<Option<u64>>,
    changes: usize,
}

impl NodeKeyFile {
    /// With new keys.
    pub fn make() -> Result<Self, Error> {
        let (signing, encryption) = (AwsKeys::generate_pkcs8()?, AwsKeys::generate_pkcs8()?);
        Ok(Self {
            signing,
            request: Es256Key::generate_pkcs8()?,
            encryption: vec![(encryption, None)],
            changes: Vec::new(),
            is_older: false,
        })
    }

    /// A file that has no request key [is older](NodeKeyFile::is_older), and gets one.
    /// [`Error::PassphraseWrong`], [`Error::KeyFileMalformed`].
    pub fn open(text: &str, passphrase: &Passphrase) -> Result<Self, Error> {
        let malformed = Error::KeyFileMalformed;
        let (contents, rest) = match text.strip_prefix(OWN) {
            Some(own) => {
                let end = own.find(BEGIN).ok_or(malformed)? + OWN.len();
                let bytes = block(&text[..end], CONTENTS)?;
                (Some(json::stored::<Contents>(&bytes).map_err(|_| malformed)?), &text[end..])
            }
            None => (None, text),
        };
        let (private, changes) = rest.split_at(rest.find(OWN).unwrap_or(rest.len()));
        let changes = changes.split(BEGIN).filter(|text| !text.is_empty()).map(|text| {
            let bytes = block(&format!("{BEGIN}{text}"), CHANGE)?;
            String::from_utf8(bytes).map_err(|_| malformed)
        });
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        // In version 1 each change left an encryption key behind.
        let contents = contents.unwrap_or_else(|| Contents {
            request: false,
            encryption: vec![None; changes.len() + 1],
            changes: changes.len(),
        });
        let mut private = sealed::open(private, passphrase)?.into_iter();
        let signing = private.next().ok_or(malformed)?;
        let request = match contents.request {
            true => private.next().ok_or(malformed)?,
            false => Es256Key::generate_pkcs8()?,
        };
        let encryption = Vec::from_iter(private);
        let fits = contents.changes == changes.len()
            && contents.encryption.len() == encryption.len()
            && !encryption.is_empty();
        let encryption = encryption.into_iter().zip(contents.encryption).collect();
        let is_older = !contents.request;
        let file = Self { signing, request, encryption, changes, is_older };
        if fits { Ok(file) } else { Err(malformed) }
    }

    /// What is written into the file. [`Error::CryptoFailed`].
    pub fn to_text(&self, passphrase: &Passphrase) -> Result<String, Error> {
        let failed = |_| Error::CryptoFailed;
        let until = self.encryption.iter().map(|(_, until)| *until).collect();
        let contents = Contents { request: true, encryption: until, changes: self.changes.len() };
        let contents = json::write(&contents)?;
        let mut text = encode_string(CONTENTS, LineEnding::LF, &contents).map_err(failed)?;
        let opening = self.encryption.iter().map(|(key, _)| key);
        let private = [&self.signing, &self.request].into_iter().chain(opening);
        text.push_str(&sealed::sealed(private, passphrase)?);
        for jwt in &self.changes {
            let block = encode_string(CHANGE, LineEnding::LF, jwt.as_bytes());
            text.push_str(&block.map_err(failed)?);
        }
        Ok(text)
    }

    /// The keys. [`Error::KeyFileMalformed`].
    pub fn keys(&self) -> Result<AwsKeys, Error> {
        let malformed = Error::KeyFileMalformed;
        let (newest, _) = self.encryption.first().ok_or(malformed)?;
        let keys = AwsKeys::from_pkcs8(&self.signing, newest, &self.request);
        let keys = keys.map_err(|_| malformed)?;
        let node = self.changes.first().map(|jwt| node_of(jwt)).transpose()?;
        let keys = keys.changed(node, self.changes.clone());
        self.give(&keys)?;
        Ok(keys)
    }

    /// Has `keys` open with the encryption keys of this file. [`Error::KeyFileMalformed`].
    pub fn give(&self, keys: &AwsKeys) -> Result<(), Error> {
        keys.open_with(&self.encryption).map_err(|_| Error::KeyFileMalformed)
    }

    /// Whether the file as it was read lacks what it is to hold: it is to be written again.
    pub fn is_older(&self) -> bool {
        self.is_older
    }

    /// How often the signing key was changed.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// The same with a new signing key, for which the present one vouches, and a new request key.
    pub async fn changed(self, now: Timestamp) -> Result<Self, Error> {
        let (old, new) = (self.keys()?, AwsKeys::generate_pkcs8()?);
        let request = Es256Key::generate_pkcs8()?;
        let signing_key = AwsKeys::from_pkcs8(&new, &new, &request)?.public().0.clone();
        let change = KeyChange {
            iss: old.node().clone(),
            iat: now.seconds(),
            former_signing_key: old.public().0.clone(),
            signing_key,
        };
        let mut changes = self.changes;
        changes.push(change.sign(&old).await?);
        Ok(Self { signing: new, request, changes, ..self })
    }

    /// Adds a newer encryption key.
    pub fn renew(&mut self) -> Result<(), Error> {
        self.encryption.insert(0, (AwsKeys::generate_pkcs8()?, None));
        Ok(())
    }

    /// Notes that the card names the newest encryption key, and removes those that are needed no more
    /// at `now`, seconds. Answers whether that changed anything.
    pub fn retire(&mut self, now: u64) -> bool {
        let before = self.encryption.len();
        self.encryption.retain(|(_, until)| until.is_none_or(|until| now < until));
        let mut changed = self.encryption.len() != before;
        for (_, until) in self.encryption.iter_mut().skip(1).filter(|(_, until)| until.is_none()) {
            *until = Some(now + KEPT);
            changed = true;
        }
        changed
    }
}

/// The content of a PEM block with this label.
fn block(pem: &str, label: &str) -> Result<Vec<u8>, Error> {
    let pem = format!("{}\n", pem.trim_end());
    match decode_vec(pem.as_bytes()) {
        Ok((found, bytes)) if found == label => Ok(bytes),
        _ => Err(Error::KeyFileMalformed),
    }
}

/// Whose statement it is; its signature is checked wherever it comes with a card.
fn node_of(jwt: &str) -> Result<NodeId, Error> {
    let payload =
        jwt.split('.').nth(1).and_then(base64url::decode).ok_or(Error::KeyFileMalformed)?;
    let change: KeyChange = json::stored(&payload).map_err(|_| Error::KeyFileMalformed)?;
    Ok(change.iss)
}
