//! Keys that change: the signing key of a stopped node, by a statement of the present one, and its request
//! key with it; and the encryption key of a running one, with each renewal of its card.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use hdms::Error;
use hdms::card::MAX_CHANGES;
use hdms::ids::NodeId;
use hdms::provider::Timestamp;

use super::aws::AwsKeys;
use super::file::KEY_FILE;
use super::node::NodeKeyFile;
use super::passphrase::Passphrase;
use crate::base::durable;

/// Gives the stopped node with the folder `dir` a new signing key, with a statement of its present one
/// that is dated `now`, and new subkeys. The file has either the old or the new ones at any
/// time. Answers the node's id, which is the same as before.
///
/// Errors: [`Error::NotFound`] when there is no key file; [`Error::CardMalformed`] when the keys were
/// changed as often as a card can tell; [`Error::PassphraseWrong`], [`Error::KeyFileMalformed`],
/// [`Error::StoreFailed`].
pub async fn change(dir: &Path, passphrase: &Passphrase, now: Timestamp) -> Result<NodeId, Error> {
    let path = dir.join(KEY_FILE);
    let before = read(&path, passphrase)?;
    if before.changes() >= MAX_CHANGES {
        return Err(Error::CardMalformed);
    }
    let mut after = before.changed(now).await?;
    after.renew()?;
    let node = after.keys()?.node().clone();
    write(dir, &path, &after, passphrase)?;
    Ok(node)
}

/// Gives a running node a new encryption key, which is on stable storage before this returns: its next
/// card may name it.
///
/// Errors: as [`change`].
pub fn renew_encryption_key(
    keys: &AwsKeys,
    dir: &Path,
    passphrase: &Passphrase,
) -> Result<(), Error> {
    let path = dir.join(KEY_FILE);
    let mut file = read(&path, passphrase)?;
    file.renew()?;
    write(dir, &path, &file, passphrase)?;
    file.give(keys)
}

/// For a running node whose card names its newest encryption key: the others are kept for as long as
/// something that was sealed to them may lie in a mailbox, and deleted then. Writes only when that
/// changes something. Errors: as [`change`].
pub fn retire_encryption_keys(
    keys: &AwsKeys,
    (dir, passphrase): (&Path, &Passphrase),
    now: Timestamp,
) -> Result<(), Error> {
    let path = dir.join(KEY_FILE);
    let mut file = read(&path, passphrase)?;
    if file.retire(now.seconds()) {
        write(dir, &path, &file, passphrase)?;
        file.give(keys)?;
    }
    Ok(())
}

fn read(path: &Path, passphrase: &Passphrase) -> Result<NodeKeyFile, Error> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NotFound,
        ErrorKind::InvalidData => Error::KeyFileMalformed,
        _ => Error::StoreFailed,
    })?;
    NodeKeyFile::open(&text, passphrase)
}

fn write(
    dir: &Path,
    path: &Path,
    file: &NodeKeyFile,
    passphrase: &Passphrase,
) -> Result<(), Error> {
    let text = file.to_text(passphrase)?;
    durable::replace(dir, path, text.as_bytes()).map_err(|_| Error::StoreFailed)
}

#[cfg(test)]
mod tests {
    use super::{change, renew_encryption_key, retire_encryption_keys};
    use crate::base::keys::{AwsKeys, AwsPrimitives, KEY_FILE, Passphrase, open_or_make};
    use crate::base::system::SystemRandomness;
    use hdms::Error;
    use hdms::card::{Card, Role, SigningKeys};
    use hdms::jose::jwe;
    use hdms::provider::Timestamp;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use zeroize::Zeroizing;

    /// Made by version 1: a node that has changed its keys once.
    const VERSION_1: &str = include_str!("../../../../tests/vectors/fixtures/keys-1.pem");
    const VERSION_1_PASSPHRASE: &str = "loopback";

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn p(text: &str) -> Passphrase {
        Passphrase::of_no_secret(text)
    }

    const DAY: u64 = 24 * 3600 * 1000;

    async fn sealed_to(keys: &AwsKeys) -> jwe::CompactJwe {
        let (to, content) = (keys.public().1, b"a result".to_vec());
        let sealing = jwe::encrypt(content, None, &to, &AwsPrimitives, &SystemRandomness);
        jwe::CompactJwe::parse(&sealing.await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_changed_signing_key_is_vouched_for_by_the_one_before_and_mail_still_opens() {
        let dir = tempfile::tempdir().unwrap();
        let first = open_or_make(dir.path(), &p("p")).unwrap();
        for changes in 1..=2 {
            let node = change(dir.path(), &p("p"), NOW).await.unwrap();
            let keys = open_or_make(dir.path(), &p("p")).unwrap();
            assert_eq!((&node, keys.changes().len()), (first.node(), changes));
            assert_eq!(keys.node(), first.node());
            assert_ne!(keys.public().0, first.public().0);
            assert_ne!(keys.public().1, first.public().1);
            assert_ne!(keys.request_key(), first.request_key());
            let opened = sealed_to(&first).await.decrypt(&keys, &AwsPrimitives).await;
            assert_eq!(opened.unwrap(), b"a result");
            let card = Card {
                iss: node.clone(),
                sub: node,
                role: Role::Institution,
                name: String::new(),
                endpoint: None,
                signing_key: keys.public().0.clone(),
                subkeys: keys.stated_subkeys(NOW).await.unwrap(),
                changes: keys.changes().to_vec(),
                iat: NOW.seconds(),
                exp: 0,
            };
            let chain = SigningKeys::of(&card, &AwsPrimitives).await.unwrap();
            assert_eq!(chain.changes()[0].former_signing_key, *first.public().0);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_former_encryption_key_opens_for_thirty_days_after_the_card_names_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let keys = open_or_make(dir.path(), &p("p")).unwrap();
        let (sealed, first) = (sealed_to(&keys).await, keys.public().1.thumbprint());
        renew_encryption_key(&keys, dir.path(), &p("p")).unwrap();
        let newest = keys.public().1;
        assert_ne!(newest.thumbprint(), first);
        // The process is killed before the Doorman has heard of it.
        let again = open_or_make(dir.path(), &p("p")).unwrap();
        assert_eq!(again.public().1, newest);
        assert_eq!(again.request_key(), keys.request_key());
        assert!(again.opens(&first));
        let retire = |days| {
            let now = Timestamp(NOW.0 + days * DAY);
            retire_encryption_keys(&again, (dir.path(), &p("p")), now).unwrap();
        };
        retire(0);
        let file = fs::read(dir.path().join(KEY_FILE)).unwrap();
        retire(29);
        assert_eq!(fs::read(dir.path().join(KEY_FILE)).unwrap(), file, "nothing is written again");
        let again = open_or_make(dir.path(), &p("p")).unwrap();
        let opened = sealed.clone().decrypt(&again, &AwsPrimitives).await;
        assert_eq!(opened.unwrap(), b"a result");
        let now = Timestamp(NOW.0 + 30 * DAY);
        retire_encryption_keys(&again, (dir.path(), &p("p")), now).unwrap();
        for keys in [again, open_or_make(dir.path(), &p("p")).unwrap()] {
            let refused = sealed.clone().decrypt(&keys, &AwsPrimitives).await;
            assert_eq!(refused, Err(Error::WrongRecipientKey));
            assert_eq!(keys.public().1, newest);
        }
    }

    /// As version 1 wrote it: private keys, and after them statements that name encryption keys too.
    #[tokio::test]
    async fn a_file_of_version_1_opens_and_its_former_keys_get_their_time() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KEY_FILE), VERSION_1).unwrap();
        let (home, passphrase) = (dir.path(), &p(VERSION_1_PASSPHRASE));
        let keys = open_or_make(home, passphrase).unwrap();
        assert_eq!(keys.changes().len(), 1);
        retire_encryption_keys(&keys, (home, passphrase), NOW).unwrap();
        let again = open_or_make(home, passphrase).unwrap();
        assert_eq!((again.node(), again.public()), (keys.node(), keys.public()));
        assert_eq!(again.request_key(), keys.request_key(), "made once");
        retire_encryption_keys(&again, (home, passphrase), Timestamp(NOW.0 + 30 * DAY)).unwrap();
        assert_eq!(again.public(), keys.public());
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
        let without_statement = whole.split_at(whole.find("-----BEGIN HDMS KEY CHANGE").unwrap()).0;
        let half = &whole[..whole.len() - 20];
        let two_contents =
            &format!("{}{whole}", &whole[..whole.find("-----BEGIN ENCRYPTED").unwrap()]);
        for damaged in [without_statement, half, two_contents] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(open_or_make(home, &p("p")).err(), Some(Error::KeyFileMalformed));
            assert_eq!(change(home, &p("p"), NOW).await, Err(Error::KeyFileMalformed));
        }
    }

    #[tokio::test]
    async fn an_older_file_is_sealed_at_todays_cost_when_it_is_next_used_and_never_at_a_lower() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let made = open_or_make(dir.path(), &p("p")).unwrap();
        change(dir.path(), &p("p"), NOW).await.unwrap();
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
}
