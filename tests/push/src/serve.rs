//! Listening: HTTP, and TLS with a certificate of this run's own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::serve::Listener;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertifiedKey, PublicKeyData, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

/// Serves until the handle is dropped.
pub fn start<L>(listener: L, router: Router) -> AbortOnDropHandle<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    AbortOnDropHandle::new(tokio::spawn(async move {
        // It never answers: axum goes on after whatever goes wrong with one connection.
        let _never = axum::serve(listener, router).await;
    }))
}

/// A key and a self-signed certificate for `names`.
pub struct Certificate {
    /// For listeners.
    pub acceptor: TlsAcceptor,
    /// The base64 of the SHA-256 of the public key, by which Chromium can be told to trust it.
    pub fingerprint: String,
}

impl Certificate {
    /// Makes one.
    ///
    /// Errors: what key generation or TLS refuses.
    pub fn generate(names: &[&str]) -> io::Result<Self> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).map_err(io::Error::other)?;
        let key = signing_key.subject_public_key_info();
        let fingerprint = BASE64_STANDARD.encode(digest(&SHA256, &key));
        let private =
            PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = builder.with_no_client_auth();
                builder.with_single_cert(vec![cert.der().clone()], private)
            })
            .map_err(io::Error::other)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
    }
}

/// A socket that speaks TLS.
pub struct TlsListener {
    /// The socket.
    pub listener: TcpListener,
    /// Its certificate.
    pub acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
