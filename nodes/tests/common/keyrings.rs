//! Keys that are made once for all tests: making them is slow.

use std::path::Path;
use std::sync::OnceLock;

use hdms_nodes::base::keys::{AwsKeys, KEY_FILE, open_or_make};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::server::certificate::Keyring;
use tempfile::TempDir;

use super::passphrase;

/// Key pairs made once for all tests of a file.
pub fn keys(number: usize) -> &'static AwsKeys {
    static KEYS: [OnceLock<AwsKeys>; 9] = [const { OnceLock::new() }; 9];
    KEYS[number].get_or_init(|| AwsKeys::generate().unwrap())
}

/// Puts a root key, made once for all tests, into the folder `root` within `home`, and a server's
/// key that it has certified into `server`.
pub fn prepare_server(home: &Path) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (root, server) = (dir.path().join("root"), dir.path().join("server"));
        let keyring = keyring(&server, NodeClock::default());
        futures_lite::future::block_on(keyring.certify_here(&root)).unwrap();
        dir
    });
    let files = ["root/keys.pem", "root/root.jwk", "root/doormen-1.jwt"];
    let server = ["doorman/keys.pem", "manifests/log.pem", "server.sqlite"];
    let server = server.iter().map(|file| format!("server/{file}"));
    for file in files.iter().map(|file| (*file).to_owned()).chain(server) {
        let file = &file;
        let copy = home.join(file);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(made.path().join(file), copy).unwrap();
    }
}

/// The Doorman's keys of the server with this folder.
pub fn keyring(data: &Path, clock: NodeClock) -> Keyring {
    Keyring::open(data, passphrase(), clock).unwrap()
}

/// Puts a member's key file made once for all tests into each of `folders` within `home`.
pub fn prepare_keys(home: &Path, folders: &[&str]) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        open_or_make(dir.path(), &passphrase()).unwrap();
        dir
    });
    for folder in folders {
        std::fs::create_dir_all(home.join(folder)).unwrap();
        std::fs::copy(made.path().join(KEY_FILE), home.join(folder).join(KEY_FILE)).unwrap();
    }
}
