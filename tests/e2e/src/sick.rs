//! A hospital that is listed, and answers whatever is posted to it with 503.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hdms_nodes::institution::Institution;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::network::Network;

/// The sick hospital. The node behind it is well, and nobody reaches it.
pub struct Sick {
    /// The node.
    pub node: Institution,
    posts: Arc<AtomicUsize>,
}

impl Sick {
    /// A further hospital of the network, which asks to be left alone for this many seconds.
    pub async fn join(network: &Network, name: &str, retry_after: u32) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let posts = Arc::<AtomicUsize>::default();
        tokio::spawn(answer_all(listener, posts.clone(), retry_after));
        Ok(Self { node: network.further_hospital(name, Some(endpoint)).await?, posts })
    }

    /// How often something was posted to it.
    pub fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}

async fn answer_all(listener: TcpListener, posts: Arc<AtomicUsize>, retry_after: u32) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, posts.clone(), retry_after));
    }
}

/// One request, of which only the method counts.
async fn answer(mut stream: TcpStream, posts: Arc<AtomicUsize>, retry_after: u32) -> Result<()> {
    let mut head = vec![0; 4];
    stream.read_exact(&mut head).await?;
    let status = if head == b"POST" {
        posts.fetch_add(1, Ordering::SeqCst);
        "503 Service Unavailable"
    } else {
        "204 No Content"
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\naccess-control-allow-origin: *\r\n\
         access-control-allow-headers: content-type\r\naccess-control-allow-methods: POST\r\n\
         access-control-expose-headers: retry-after\r\nretry-after: {retry_after}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    // What still comes is read, so that the answer is not lost to a reset.
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
