//! A place where nobody is to come, and places that answer ill.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Counts who connects.
pub struct Trap {
    pub port: u16,
    visits: Arc<AtomicUsize>,
}

impl Trap {
    pub async fn set() -> Self {
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = visits.clone();
        let port = serve(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {}
        })
        .await;
        Self { port, visits }
    }

    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// Answers each connection as `answer` does. Answers the port.
pub async fn serve<F: Future<Output = ()> + Send>(
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream).await;
        }
    });
    port
}

/// Reads a request's beginning, and writes this.
pub async fn say(stream: &mut TcpStream, text: &str) {
    let mut request = [0; 16 * 1024];
    let _asked = stream.read(&mut request).await.ok();
    stream.write_all(text.as_bytes()).await.ok();
}
