//! What became of what the institution has put into mailboxes: read from the server now and then.

use std::sync::Arc;

use hdms::Error;

use crate::institution::platform::NativeNode;

/// Reads reports as often as the network's documents. Never ends.
pub async fn watch(node: Arc<NativeNode>) {
    let member = node.platform().member();
    loop {
        if let Err(error) = read(&node).await {
            tracing::debug!(%error, "reports are read later");
            member.heed(error);
        }
        tokio::time::sleep(member.refreshes()).await;
    }
}

/// Reads all there are: kept here before the server lets them go.
pub async fn read(node: &NativeNode) -> Result<(), Error> {
    let member = node.platform().member();
    let (client, server) = (member.client(), member.server());
    let mut after = 0;
    loop {
        let page = client.reports(server, member.signer(), after).await?;
        let Some(last) = page.reports.last() else { return Ok(()) };
        after = last.number;
        node.told(&page.reports).await?;
        client.reports_read(server, member.signer(), after).await?;
        if !page.more {
            return Ok(());
        }
    }
}
