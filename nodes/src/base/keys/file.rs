//! The file that keeps private keys. One file for what belongs together, so that there are always all
//! or none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use hdms::Error;

use super::aws::AwsKeys;
use super::es256::Es256Key;
use super::log::NotaryKeys;
use super::node::NodeKeyFile;
use super::passphrase::Passphrase;
use super::sealed::{Pkcs8, is_cheap, open, sealed};
use crate::base::{durable, private};

/// The file's name within the node's folder.
pub const KEY_FILE: &str = "keys.pem";

/// The name of the file beside it with a notary's log key and, after it, its witness key.
pub const LOG_KEY_FILE: &str = "log.pem";

/// Opens the keys kept in the folder `dir`, or makes and keeps new ones where there is no
/// [`KEY_FILE`] yet; only its owner may read what is made. A file that is there is never replaced,
/// but by the same keys at a higher cost, or with a request key where it had none yet:
/// [`Error::PassphraseWrong`] when `passphrase` does not open
/// it, [`Error::KeyFileMalformed`] when it isn't such a file, [`Error::StoreFailed`] when the disk
/// fails, [`Error::StoreExposed`] when it can't be closed to others.
pub fn open_or_make(dir: &Path, passphrase: &Passphrase) -> Result<AwsKeys, Error> {
    let path = dir.join(KEY_FILE);
    if let Some(text) = read(&path)? {
        let file = NodeKeyFile::open(&text, passphrase)?;
        if file.is_older() {
            let text = file.to_text(passphrase)?;
            durable::replace(dir, &path, text.as_bytes()).map_err(|_| Error::StoreFailed)?;
        } else {
            raise(&path, &text, passphrase, || file.to_text(passphrase))?;
        }
        return file.keys();
    }
    let file = NodeKeyFile::make()?;
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
    match durable::replace(dir, path, sealed.as_bytes()) {
        Ok(()) => tracing::info!(path = %path.display(), "the key file is sealed at today's cost"),
        Err(error) => tracing::warn!(%error, "the key file stays sealed at a lower cost"),
    }
    Ok(())
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

fn keep(dir: &Path, path: &Path, text: &str) -> Result<(), Error> {
    private::folder(dir)?;
    durable::write(dir, path, text.as_bytes()).map_err(|_| Error::StoreFailed)
}

#[cfg(test)]
mod tests {
    use super::{KEY_FILE, open_or_make, open_or_make_es256, open_or_make_log};
    use crate::base::keys::Passphrase;
    use crate::base::keys::sealed::END;
    use hdms::Error;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

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
        assert_eq!(text.matches("-----BEGIN ENCRYPTED PRIVATE KEY-----").count(), 3);
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
