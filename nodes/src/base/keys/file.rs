//! The file that keeps private keys: PEM blocks `ENCRYPTED PRIVATE KEY` (RFC 7468 section 11; PBES2
//! with scrypt and AES-256-CBC, RFC 8018); of a node, the signing key before the encryption key. One
//! file for what belongs together, so that there are always all or none.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use hdms::Error;
use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::node::NodeKeyFile;
use super::{AwsKeys, Es256Key, NotaryKeys, Passphrase};
use crate::base::private;

/// The file's name within the node's folder.
pub const KEY_FILE: &str = "keys.pem";

/// The name of the file beside it with a notary's log key and, after it, its witness key.
pub const LOG_KEY_FILE: &str = "log.pem";

const LABEL: &str = EncryptedPrivateKeyInfoRef::PEM_LABEL;
/// So begins what a node's file says of its keys, before them and after them.
pub(super) const OWN: &str = "-----BEGIN HDMS ";

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// PKCS#8 DER of a private key, unencrypted.
pub(super) type Pkcs8 = Zeroizing<Vec<u8>>;

/// Opens the keys kept in the folder `dir`, or makes and keeps new ones where there is no
/// [`KEY_FILE`] yet; only its owner may read what is made. A file that is there is never replaced,
/// but by the same keys at a higher cost: [`Error::PassphraseWrong`] when `passphrase` does not open
/// it, [`Error::KeyFileMalformed`] when it isn't such a file, [`Error::StoreFailed`] when the disk
/// fails, [`Error::StoreExposed`] when it can't be closed to others.
pub fn open_or_make(dir: &Path, passphrase: &Passphrase) -> Result<AwsKeys, Error> {
    let path = dir.join(KEY_FILE);
    if let Some(text) = read(&path)? {
        let file = NodeKeyFile::open(&text, passphrase)?;
        raise(&path, &text, passphrase, || file.to_text(passphrase))?;
        return file.keys();
    }
    let file = NodeKeyFile::new(AwsKeys::generate_pkcs8()?);
    keep(dir, &path, &file.to_text(passphrase)?)?;
    file.keys()
}

/// As [`open_or_make`], for the one key of a sender of web push.
pub fn open_or_make_es256(dir: &Path, passphrase: &Passphrase) -> Result<Es256Key, Error> {
    let [key] = kept(dir, KEY_FILE, passphrase, || Ok([Es256Key::generate_pkcs8()?]))?;
    Es256Key::from_pkcs8(&key).map_err(|_| Error::KeyFileMalformed)
}

/// As [`open_or_make`], for the two keys of a notary, in [`LOG_KEY_FILE`].
pub fn open_or_make_log(dir: &Path, passphrase: &Passphrase) -> Result<NotaryKeys, Error> {
    let [log, witness] = kept(dir, LOG_KEY_FILE, passphrase, NotaryKeys::generate_pkcs8)?;
    NotaryKeys::from_pkcs8(&log, &witness).map_err(|_| Error::KeyFileMalformed)
}

fn kept<const N: usize>(
    dir: &Path,
    name: &str,
    passphrase: &Passphrase,
    make: impl FnOnce() -> Result<[Pkcs8; N], Error>,
) -> Result<[Pkcs8; N], Error> {
    let path = dir.join(name);
    let keys = match read(&path)? {
        Some(text) => {
            let keys = open(&text, passphrase)?;
            raise(&path, &text, passphrase, || sealed(&keys, passphrase))?;
            keys
        }
        None => {
            let keys = make()?;
            keep(dir, &path, &sealed(&keys, passphrase)?)?;
            keys.into()
        }
    };
    keys.try_into().map_err(|_| Error::KeyFileMalformed)
}

/// Seals the same keys at today's cost where they were sealed at a lower one. The old file opens all
/// the same: a disk that is full, or may not be written, keeps no node from starting.
fn raise(
    path: &Path,
    text: &str,
    passphrase: &Passphrase,
    seal: impl FnOnce() -> Result<String, Error>,
) -> Result<(), Error> {
    if !is_cheap(text, passphrase)? {
        return Ok(());
    }
    let sealed = seal()?;
    let dir = path.parent().unwrap_or(Path::new("."));
    match replace_durably(dir, path, sealed.as_bytes()) {
        Ok(()) => tracing::info!(path = %path.display(), "the key file is sealed at today's cost"),
        Err(error) => tracing::warn!(%error, "the key file stays sealed at a lower cost"),
    }
    Ok(())
}

fn is_cheap(text: &str, passphrase: &Passphrase) -> Result<bool, Error> {
    let mut cheap = false;
    for block in blocks(text) {
        let sealed = document(&block)?;
        let key = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes());
        cheap |= passphrase.is_costlier_than(&key.map_err(|_| Error::KeyFileMalformed)?);
    }
    Ok(cheap)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    private::file(path)?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(Error::KeyFileMalformed),
        Err(_) => Err(Error::StoreFailed),
    }
}

/// The private keys in `text`. [`Error::PassphraseWrong`], [`Error::KeyFileMalformed`].
pub(super) fn open(text: &str, passphrase: &Passphrase) -> Result<Vec<Pkcs8>, Error> {
    blocks(text).map(|block| decrypt(&block, passphrase)).collect()
}

/// The PEM blocks of private keys in `text`, and what else is between them.
fn blocks(text: &str) -> impl Iterator<Item = String> {
    let begin = if text.starts_with(OWN) { text.find(BEGIN).unwrap_or(text.len()) } else { 0 };
    let private = &text[begin..];
    let private = private.find(OWN).map_or(private, |end| &private[..end]);
    private.trim_end().split_inclusive(END).map(|block| format!("{}\n", block.trim_start()))
}

fn document(pem: &str) -> Result<SecretDocument, Error> {
    let malformed = Error::KeyFileMalformed;
    let (label, sealed) = SecretDocument::from_pem(pem).map_err(|_| malformed)?;
    if label == LABEL { Ok(sealed) } else { Err(malformed) }
}

fn decrypt(pem: &str, passphrase: &Passphrase) -> Result<Pkcs8, Error> {
    let sealed = document(pem)?;
    let key = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes())
        .map_err(|_| Error::KeyFileMalformed)?
        .decrypt(passphrase.text())
        .map_err(|_| Error::PassphraseWrong)?;
    Ok(Zeroizing::new(key.as_bytes().to_vec()))
}

fn keep(dir: &Path, path: &Path, text: &str) -> Result<(), Error> {
    private::folder(dir)?;
    write_durably(dir, path, text.as_bytes()).map_err(|_| Error::StoreFailed)
}

/// The text that [`open`] opens. [`Error::CryptoFailed`].
pub(super) fn sealed<'a>(
    keys: impl IntoIterator<Item = &'a Pkcs8>,
    passphrase: &Passphrase,
) -> Result<String, Error> {
    keys.into_iter().map(|key| encrypt(key, passphrase)).collect()
}

fn encrypt(pkcs8: &[u8], passphrase: &Passphrase) -> Result<String, Error> {
    let parameters = passphrase.parameters()?;
    let sealed = PrivateKeyInfoRef::try_from(pkcs8)
        .and_then(|key| key.encrypt_with_params(parameters, passphrase.text()))
        .map_err(|_| Error::CryptoFailed)?;
    let pem = sealed.to_pem(LABEL, LineEnding::LF).map_err(|_| Error::CryptoFailed)?;
    Ok(pem.to_string())
}

/// All of `bytes` or nothing under `path`, and on stable storage before it answers. The temporary
/// file is readable by its owner alone (mode 0600), and does not take the place of one that another
/// process made meanwhile.
pub fn write_durably(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    written(dir, bytes)?.persist_noclobber(path)?;
    File::open(dir)?.sync_all()
}

/// As [`write_durably`], in place of what is there: whoever reads sees the one or the other.
pub fn replace_durably(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    written(dir, bytes)?.persist(path)?;
    File::open(dir)?.sync_all()
}

fn written(dir: &Path, bytes: &[u8]) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{END, KEY_FILE, open_or_make, open_or_make_es256, open_or_make_log};
    use crate::base::keys::{Passphrase, change};
    use hdms::Error;
    use hdms::provider::Timestamp;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use zeroize::Zeroizing;

    fn p(text: &str) -> Passphrase {
        Passphrase::of_no_secret(text)
    }

    #[test]
    fn keys_are_made_once_and_open_again_only_with_their_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("node");
        let made = open_or_make(&home, &p("correct horse")).unwrap();
        let written = fs::read(home.join(KEY_FILE)).unwrap();
        assert_eq!(open_or_make(&home, &p("correct horse")).unwrap().public(), made.public());
        assert_eq!(open_or_make(&home, &p("wrong horse")).err(), Some(Error::PassphraseWrong));
        assert_eq!(open_or_make(&home, &p("")).err(), Some(Error::PassphraseWrong));
        assert_eq!(fs::read(home.join(KEY_FILE)).unwrap(), written);
    }

    #[test]
    fn a_node_and_a_sender_do_not_take_each_others_files() {
        let dir = tempfile::tempdir().unwrap();
        let (node, sender) = (dir.path().join("node"), dir.path().join("sender"));
        open_or_make(&node, &p("p")).unwrap();
        let made = open_or_make_es256(&sender, &p("p")).unwrap();
        assert_eq!(open_or_make_es256(&sender, &p("p")).unwrap().public(), made.public());
        assert_eq!(open_or_make_es256(&sender, &p("q")).err(), Some(Error::PassphraseWrong));
        assert_eq!(open_or_make_es256(&node, &p("p")).err(), Some(Error::KeyFileMalformed));
        assert_eq!(open_or_make(&sender, &p("p")).err(), Some(Error::KeyFileMalformed));
    }

    #[test]
    fn a_notary_has_its_log_keys_beside_its_other_keys_and_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        open_or_make(dir.path(), &p("p")).unwrap();
        let made = open_or_make_log(dir.path(), &p("p")).unwrap().public();
        assert_eq!(open_or_make_log(dir.path(), &p("p")).unwrap().public(), made);
        assert_eq!(open_or_make_log(dir.path(), &p("q")).err(), Some(Error::PassphraseWrong));
        assert_ne!(made.log_key, made.witness_key);
        assert!(open_or_make(dir.path(), &p("p")).is_ok());
    }

    #[test]
    fn only_the_owner_reads_the_file_and_nothing_else_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        open_or_make(dir.path(), &p("p")).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(names[0].path()).unwrap();
        assert_eq!(text.matches("-----BEGIN ENCRYPTED PRIVATE KEY-----").count(), 2);
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        open_or_make(dir.path(), &p("p")).unwrap();
        let path = dir.path().join(KEY_FILE);
        let whole = fs::read_to_string(&path).unwrap();
        let half = whole.split_inclusive(END).next().unwrap();
        for damaged in
            ["", "not a key", half, &whole[..whole.len() / 2], &whole[..whole.len() - 60]]
        {
            fs::write(&path, damaged).unwrap();
            assert_eq!(open_or_make(dir.path(), &p("p")).err(), Some(Error::KeyFileMalformed));
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(open_or_make(dir.path(), &p("p")).err(), Some(Error::KeyFileMalformed));
    }

    #[tokio::test]
    async fn an_older_file_is_sealed_at_todays_cost_when_it_is_next_used_and_never_at_a_lower() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let made = open_or_make(dir.path(), &p("p")).unwrap();
        change(dir.path(), &p("p"), Timestamp(1_790_000_000_000)).await.unwrap();
        let (cheap, secret) =
            (fs::read(&path).unwrap(), Passphrase::new(Zeroizing::new("p".into())));
        assert_eq!(open_or_make(dir.path(), &p("p")).unwrap().node(), made.node());
        assert_eq!(fs::read(&path).unwrap(), cheap);
        let raised = open_or_make(dir.path(), &secret).unwrap();
        assert_eq!((raised.node(), raised.changes().len()), (made.node(), 1));
        let costly = fs::read(&path).unwrap();
        assert_ne!(costly, cheap);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for passphrase in [p("p"), secret] {
            assert_eq!(open_or_make(dir.path(), &passphrase).unwrap().node(), made.node());
            assert_eq!(fs::read(&path).unwrap(), costly);
        }
    }

    #[test]
    fn a_file_that_others_could_read_is_closed_to_them() {
        let dir = tempfile::tempdir().unwrap();
        open_or_make(dir.path(), &p("p")).unwrap();
        let path = dir.path().join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        open_or_make(dir.path(), &p("p")).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
