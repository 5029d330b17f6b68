//! The API key with which the HIS comes: who holds it may act for the hospital. Guesses are counted
//! for the address that they come from.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::hash::Hash;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::extract::{ConnectInfo, Request};
use axum::http::header::AUTHORIZATION;
use hdms::Error;
use hdms::base64url;
use hdms::provider::{Clock, Randomness, Timestamp};
use zeroize::Zeroizing;

use crate::base::http::addresses::subscriber;
use crate::base::private;
use crate::base::system::{NodeClock, SystemRandomness};

/// The file of the key that is made where none is given, within the node's folder.
pub const KEY_FILE: &str = "api-key";

/// Shortest key accepted, bytes.
const SHORTEST: usize = 16;

/// Wrong keys from one address within [`A_MINUTE`] after which it has to wait; and from one that came
/// with the right key within [`A_DAY`]: somebody behind the same proxy may guess, and must neither go on
/// for ever nor lock out the HIS. So a connection over which the right key came is never made to wait,
/// unless as many wrong ones came over it as over any.
const WRONG: u32 = 10;
const WRONG_OF_KNOWN: u32 = 600;

/// How long wrong keys count, milliseconds.
const A_MINUTE: u64 = 60_000;

/// How long the right key counts for where it came from, milliseconds: a day.
const A_DAY: u64 = 24 * 3600 * 1000;

/// Addresses remembered before those that don't count any more are forgotten.
const MANY: usize = 10_000;

/// The institution's API key.
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// The key in the file `path`, white space around it left out. [`Error::StoreFailed`] when it
    /// can't be read, [`Error::CommandMalformed`] when it is shorter than 16 bytes.
    pub fn read(path: &Path) -> Result<Self, Error> {
        private::warn_of_others(path);
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|_| Error::StoreFailed)?);
        let key = text.trim();
        if key.len() < SHORTEST {
            return Err(Error::CommandMalformed);
        }
        Ok(Self(Zeroizing::new(key.to_owned())))
    }

    /// The key in the node's folder; a new one of 256 bits, readable by its owner alone, at the
    /// first start. Errors as [`ApiKey::read`].
    pub fn open_or_make(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(KEY_FILE);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Ok(mut file) => {
                let mut random = Zeroizing::new([0; 32]);
                SystemRandomness.fill(random.as_mut())?;
                let key = Zeroizing::new(base64url::encode(random.as_ref()));
                file.write_all(key.as_bytes()).map_err(|_| Error::StoreFailed)?;
                file.sync_all().map_err(|_| Error::StoreFailed)?;
                Ok(Self(key))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::read(&path),
            Err(_) => Err(Error::StoreFailed),
        }
    }

    /// The key, for those who may have it.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

/// What stands between the interface and those who ask.
#[derive(Debug)]
pub struct Door {
    /// Of the key: digests have one length, so that comparing takes the same time for all.
    key: Digest,
    clock: NodeClock,
    callers: Mutex<Callers>,
}

/// Who came with which keys.
#[derive(Debug, Default)]
struct Callers {
    addresses: HashMap<IpAddr, Caller>,
    /// Over which the right key came.
    connections: HashMap<SocketAddr, Caller>,
}

/// What an address or a connection came with.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    /// Wrong keys since `since`, milliseconds.
    wrong: u32,
    since: u64,
    /// The right one, last.
    right: Option<Timestamp>,
}

impl Door {
    /// One that opens to this key.
    pub fn new(key: &ApiKey, clock: NodeClock) -> Self {
        let key = digest(&SHA256, key.0.as_bytes());
        Self { key, clock, callers: Mutex::default() }
    }

    /// [`Error::Unauthorised`] unless the request carries `Authorization: Bearer <key>`;
    /// [`Error::TooManyRequests`], whatever it carries, from an address that guesses.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let from = from.map_or((Ipv4Addr::UNSPECIFIED, 0).into(), |ConnectInfo(from)| *from);
        let header = request.headers().get(AUTHORIZATION).map(|header| header.as_bytes());
        let given = header.and_then(|header| header.strip_prefix(b"Bearer "));
        self.admit(from, given.ok_or(Error::Unauthorised)?, self.clock.now())
    }

    fn admit(&self, from: SocketAddr, given: &[u8], now: Timestamp) -> Result<(), Error> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let Callers { addresses, connections } = &mut *callers;
        let address = entry(addresses, subscriber(from.ip()), now);
        let connection = connections.get(&from);
        let most = if address.is_known(now) { WRONG_OF_KNOWN } else { WRONG };
        let is_trusted =
            connection.is_some_and(|it| it.is_known(now) && !it.has_to_wait(WRONG, now));
        if !is_trusted && address.has_to_wait(most, now) {
            return Err(Error::TooManyRequests);
        }
        let given = digest(&SHA256, given);
        if verify_slices_are_equal(given.as_ref(), self.key.as_ref()).is_ok() {
            address.right = Some(now);
            // An address that guesses is not believed because the key comes from there as well.
            entry(connections, from, now).right = Some(now);
            return Ok(());
        }
        address.note_wrong(now);
        if address.wrong <= WRONG {
            tracing::warn!(%from, wrong = address.wrong, "a wrong API key");
        }
        if address.wrong == most {
            tracing::warn!(%from, "no API key is taken from there for the rest of a minute, not even the right one");
        }
        if let Some(connection) = connections.get_mut(&from) {
            connection.note_wrong(now);
        }
        Err(Error::Unauthorised)
    }
}

/// What is known of one caller. Of many, those that don't count any more are forgotten, and all when as
/// many still do.
fn entry<K: Hash + Eq>(callers: &mut HashMap<K, Caller>, key: K, now: Timestamp) -> &mut Caller {
    if callers.len() >= MANY {
        callers.retain(|_, caller| caller.counts(now));
        if callers.len() >= MANY {
            callers.clear();
        }
    }
    callers.entry(key).or_default()
}

impl Caller {
    fn note_wrong(&mut self, now: Timestamp) {
        if now.0 >= self.since + A_MINUTE {
            (self.wrong, self.since) = (0, now.0);
        }
        self.wrong = self.wrong.saturating_add(1);
    }

    fn has_to_wait(&self, most: u32, now: Timestamp) -> bool {
        self.wrong >= most && now.0 < self.since + A_MINUTE
    }

    fn is_known(&self, now: Timestamp) -> bool {
        self.right.is_some_and(|right| now.0 < right.0 + A_DAY)
    }

    fn counts(&self, now: Timestamp) -> bool {
        self.is_known(now) || now.0 < self.since + A_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, Door, KEY_FILE, WRONG, WRONG_OF_KNOWN};
    use crate::base::system::NodeClock;
    use hdms::Error;
    use hdms::provider::Timestamp;
    use std::net::SocketAddr;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let made = ApiKey::open_or_make(dir.path()).unwrap();
        let again = ApiKey::open_or_make(dir.path()).unwrap();
        assert_eq!(made.secret(), again.secret());
        assert_eq!(made.secret().len(), 43);
        let mode = dir.path().join(KEY_FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_short_key_and_a_missing_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert_eq!(ApiKey::read(&path).err(), Some(Error::StoreFailed));
        std::fs::write(&path, "  short\n").unwrap();
        assert_eq!(ApiKey::read(&path).err(), Some(Error::CommandMalformed));
        std::fs::write(&path, "long enough for a key\n").unwrap();
        assert_eq!(ApiKey::read(&path).unwrap().secret(), "long enough for a key");
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_guesses_waits_whatever_it_sends() {
        let dir = tempfile::tempdir().unwrap();
        let key = ApiKey::open_or_make(dir.path()).unwrap();
        let door = Door::new(&key, NodeClock::default());
        let come = |from: &str, given: &str, second| {
            door.admit(address(from), given.as_bytes(), Timestamp::from_seconds(second))
        };
        for port in 0..WRONG {
            let from = format!("192.0.2.1:{port}");
            assert_eq!(come(&from, "a guess", 1000), Err(Error::Unauthorised));
        }
        assert_eq!(come("192.0.2.1:1", "a guess", 1059), Err(Error::TooManyRequests));
        assert_eq!(come("192.0.2.1:1", key.secret(), 1059), Err(Error::TooManyRequests));
        assert_eq!(come("192.0.2.2:1", key.secret(), 1059), Ok(()));
        assert_eq!(come("192.0.2.1:1", "a guess", 1060), Err(Error::Unauthorised));
        assert_eq!(come("192.0.2.1:1", key.secret(), 1061), Ok(()));
    }

    #[test]
    fn who_guesses_beside_the_his_waits_and_locks_no_connection_out_that_had_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let key = ApiKey::open_or_make(dir.path()).unwrap();
        let door = Door::new(&key, NodeClock::default());
        let come = |from: &str, given: &str, second| {
            door.admit(address(from), given.as_bytes(), Timestamp::from_seconds(second))
        };
        let (his, thief) = ("192.0.2.1:1", "192.0.2.1:2");
        assert_eq!(come(his, key.secret(), 1000), Ok(()));
        for _ in 0..WRONG_OF_KNOWN {
            assert_eq!(come(thief, "a guess", 1001), Err(Error::Unauthorised));
        }
        for second in 1001..1061 {
            assert_eq!(come(thief, "a guess", second), Err(Error::TooManyRequests));
            assert_eq!(come(thief, key.secret(), second), Err(Error::TooManyRequests));
            assert_eq!(come(his, key.secret(), second), Ok(()));
        }
        assert_eq!(come(thief, key.secret(), 1061), Ok(()), "a new connection of the HIS");
        for _ in 0..WRONG_OF_KNOWN {
            come(his, "a guess", 1062).unwrap_err();
        }
        assert_eq!(come(his, key.secret(), 1062), Err(Error::TooManyRequests), "it guesses itself");
    }
}
