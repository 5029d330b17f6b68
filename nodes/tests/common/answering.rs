//! Waiting for a node that was just started.

use std::time::Duration;

/// Returns once a node serves at `url`, and waits for nothing more; panics after a minute.
pub async fn until_it_answers(url: &str) {
    for _ in 0..2400 {
        if reqwest::get(url).await.is_ok_and(|answer| answer.status() != 503) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{url} never answered");
}
