//! `hdms server pending`, `admit`, `refuse`, `revoke`, `pin-log`, `show`, `set` and `trail`: what the
//! operator decides.

use std::path::PathBuf;

use clap::Args;
use hdms::ids::NodeId;
use hdms_nodes::server::operator::{Applicant, Operator};

use super::limits::{SettingArgs, lines};
use super::{Outcome, date, read};

/// On which server.
#[derive(Debug, Args)]
pub struct OnServer {
    /// The server's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// About which node.
#[derive(Debug, Args)]
pub struct OnNode {
    /// The node's id.
    #[arg(allow_hyphen_values = true)]
    node: NodeId,
    #[command(flatten)]
    server: OnServer,
}

/// About which node, and why.
#[derive(Debug, Args)]
pub struct TurnDown {
    #[command(flatten)]
    on: OnNode,
    /// Why: the node is told.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

/// What is to be changed of what the network and its server go by.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    server: OnServer,
    #[command(flatten)]
    settings: SettingArgs,
}

impl Set {
    /// Changes it, and prints all as it is then.
    pub async fn run(self) -> Outcome {
        let operator = self.server.operator()?;
        operator.set(|settings| self.settings.apply(settings)).await?;
        self.server.show_settings().await
    }
}

/// Which log, and as it was when.
#[derive(Debug, Args)]
pub struct PinLog {
    /// A checkpoint that the log has published: `curl NOTARY/log/checkpoint`.
    #[arg(value_name = "FILE")]
    checkpoint: PathBuf,
    #[command(flatten)]
    server: OnServer,
}

impl PinLog {
    /// Pins it and shows what.
    pub async fn run(self) -> Outcome {
        let pinned = self.server.operator()?.pin_log(&read(&self.checkpoint)?).await?;
        println!("pinned: {} with {} leaves", pinned.notary, pinned.size);
        Ok(())
    }
}

impl OnServer {
    fn operator(&self) -> Result<Operator, hdms::Error> {
        Operator::of(&self.data)
    }

    /// Prints every node that waits, and what it claims.
    pub async fn list_pending(self) -> Outcome {
        let (operator, mut last) = (self.operator()?, None);
        loop {
            let waiting = operator.pending(last).await?;
            waiting.iter().for_each(show);
            match waiting.last() {
                Some(applicant) => last = Some(applicant.id.clone()),
                None => return Ok(()),
            }
        }
    }

    /// Prints the rules and what the server allows.
    pub async fn show_settings(self) -> Outcome {
        let operator = self.operator()?;
        for (option, value) in lines(&operator.settings().await?) {
            println!("{option:<30} {value}");
        }
        warn_of_witnesses(&operator).await
    }

    /// Prints the trail; fails when it was altered.
    pub async fn show_trail(self) -> Outcome {
        let trail = self.operator()?.trail().await?;
        for entry in &trail.entries {
            let node = entry.node.as_ref().map_or("-", |node| node.as_ref());
            let act = serde_json::to_value(entry.act)?;
            let act = act.as_str().unwrap_or_default();
            println!("{} {} {act} {node} {}", entry.number, date(entry.time), entry.detail);
        }
        if !trail.whole {
            let last = trail.entries.len();
            return Err(format!("the trail was altered after row {last}").into());
        }
        println!("{} rows, unaltered; digest of the last: {}", trail.entries.len(), trail.last);
        Ok(())
    }
}

impl OnNode {
    /// Admits the node and shows as what.
    pub async fn admit(self) -> Outcome {
        let operator = self.server.operator()?;
        let applicant = operator.applicant(&self.node).await?;
        operator.admit(self.node).await?;
        println!("admitted:");
        show(&applicant);
        Ok(())
    }
}

impl TurnDown {
    /// Refuses what the node asks to be.
    pub async fn refuse(self) -> Outcome {
        let operator = self.on.server.operator()?;
        Ok(operator.refuse(self.on.node, &self.reason).await?)
    }

    /// Revokes the node's card.
    pub async fn revoke(self) -> Outcome {
        let operator = self.on.server.operator()?;
        operator.revoke(self.on.node, &self.reason).await?;
        warn_of_witnesses(&operator).await
    }
}

/// Says so when receipts can't come about any more.
async fn warn_of_witnesses(operator: &Operator) -> Outcome {
    if let Some(notaries) = operator.lacks_witnesses().await? {
        println!(
            "with {notaries} notaries no receipt gets as many witnesses as it needs: admit more, or \
             hdms server set --witnesses"
        );
    }
    Ok(())
}

fn show(applicant: &Applicant) {
    println!("{}", applicant.id);
    let before = applicant.admitted.as_ref().map(|claims| claims.lines()).unwrap_or_default();
    for (label, text) in applicant.claims.lines() {
        let former = before.iter().find(|(known, _)| *known == label).map(|(_, text)| text);
        match former {
            Some(former) if *former != text => println!("  {label:<16} {text}   (was: {former})"),
            None if !before.is_empty() => println!("  {label:<16} {text}   (was: nothing)"),
            _ => println!("  {label:<16} {text}"),
        }
    }
    if let Some(rival) = &applicant.rival {
        println!("  the name or the endpoint is that of {rival}: revoke that first");
    }
}
