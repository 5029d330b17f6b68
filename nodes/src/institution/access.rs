//! The API key with which the HIS comes: who holds it may act for the hospital.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use hdms::Error;
use hdms::jose;
use hdms::provider::Randomness;
use zeroize::Zeroizing;

use crate::system::SystemRandomness;

/// The file of the key that is made where none is given, within the node's folder.
pub const KEY_FILE: &str = "api-key";

/// Shortest key accepted, bytes.
const SHORTEST: usize = 16;

/// The institution's API key.
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// The key in the file `path`, white space around it left out. [`Error::StoreFailed`] when it
    /// can't be read, [`Error::CommandMalformed`] when it is shorter than 16 bytes.
    pub fn read(path: &Path) -> Result<Self, Error> {
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
                let key = Zeroizing::new(jose::encode(random.as_ref()));
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

    /// [`Error::Unauthorised`] unless the request carries `Authorization: Bearer <key>`.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        let header = request.headers().get(AUTHORIZATION).map(|header| header.as_bytes());
        let given = header.and_then(|header| header.strip_prefix(b"Bearer "));
        match given.map(|given| verify_slices_are_equal(given, self.0.as_bytes())) {
            Some(Ok(())) => Ok(()),
            _ => Err(Error::Unauthorised),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, KEY_FILE};
    use hdms::Error;
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
}
