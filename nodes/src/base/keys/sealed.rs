//! Private keys sealed with a passphrase: PEM blocks `ENCRYPTED PRIVATE KEY` (RFC 7468 section 11; PBES2
//! with scrypt and AES-256-CBC, RFC 8018).

use hdms::Error;
use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use super::passphrase::Passphrase;

const LABEL: &str = EncryptedPrivateKeyInfoRef::PEM_LABEL;
/// So begins what a node's file says of its keys, before them and after them.
pub(super) const OWN: &str = "-----BEGIN HDMS ";

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

pub(super) const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// PKCS#8 DER of a private key, unencrypted.
pub(super) type Pkcs8 = Zeroizing<Vec<u8>>;

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

/// Whether a key in `text` is sealed at a lower cost than `passphrase` asks for. [`Error::KeyFileMalformed`].
pub(super) fn is_cheap(text: &str, passphrase: &Passphrase) -> Result<bool, Error> {
    let mut cheap = false;
    for block in blocks(text) {
        let sealed = document(&block)?;
        let key = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes());
        cheap |= passphrase.is_costlier_than(&key.map_err(|_| Error::KeyFileMalformed)?);
    }
    Ok(cheap)
}
