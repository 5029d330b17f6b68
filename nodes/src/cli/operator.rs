//! `hdms server pending`, `admit`, `refuse`, `revoke`, `pin-log`, `show`, `set` and `trail`: what the
//! operator decides.

use std::fmt::{self, Write};
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::Args;
use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::log::SignedCheckpoint;
use hdms::network::notary_of;
use hdms_nodes::server::Witnessing;
use hdms_nodes::server::operator::{Applicant, Lookalike, Notaries, Operator, Stands};

use super::limits::{SettingArgs, WITNESSES, lines};
use super::{CommandResult, agreed, date, read, say};

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
    #[arg(allow_hyphen_values = true, value_parser = node_id)]
    node: NodeId,
    #[command(flatten)]
    server: OnServer,
}

fn node_id(text: &str) -> Result<NodeId, &'static str> {
    text.parse().map_err(|_| "a node's id has 43 letters, digits, - and _: see hdms server pending")
}

/// Which node, as what.
#[derive(Debug, Args)]
pub struct Admit {
    #[command(flatten)]
    on: OnNode,
    /// What `pending` shows last of it: the digest of what was looked into. Without it you are shown the
    /// node's claims, and asked.
    #[arg(allow_hyphen_values = true)]
    application: Option<String>,
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

/// Which node, and why.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    turn_down: TurnDown,
    /// Revoke a notary without asking.
    #[arg(long)]
    yes: bool,
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
    pub async fn run(self) -> CommandResult {
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
    pub async fn run(self) -> CommandResult {
        let note = read(&self.checkpoint)?;
        let origin = SignedCheckpoint::parse(&note)?.checkpoint().origin.clone();
        if notary_of(&origin).is_err() {
            return Err(format!("{}: the log of no notary", origin.escape_debug()).into());
        }
        let pinned = self.server.operator()?.pin_log(&note).await?;
        say(&format!("pinned: {} with {} leaves\n", pinned.notary, pinned.size))
    }
}

impl OnServer {
    fn operator(&self) -> Result<Operator, Box<dyn std::error::Error>> {
        if !self.data.join("server.sqlite").exists() {
            let data = self.data.display();
            return Err(format!("{data}: no server has kept anything there yet").into());
        }
        Ok(Operator::of(&self.data)?)
    }

    /// Prints every node that waits, and what it claims.
    pub async fn list_pending(self) -> CommandResult {
        let (operator, mut last) = (self.operator()?, None);
        loop {
            let waiting = operator.pending(last).await?;
            say(&waiting
                .iter()
                .map(|applicant| ShownApplicant(applicant).to_string())
                .collect::<String>())?;
            match waiting.last() {
                Some(applicant) => last = Some(applicant.id.clone()),
                None => return Ok(()),
            }
        }
    }

    /// Prints the rules and what the server allows.
    pub async fn show_settings(self) -> CommandResult {
        let operator = self.operator()?;
        let (settings, notaries) = (operator.settings().await?, operator.notaries().await?);
        let mut text = String::new();
        for (option, value) in lines(&settings) {
            match notaries.witnessing.next {
                Some(rule) if option == WITNESSES => {
                    let (since, needed) = (date(rule.since), notaries.witnessing.needed);
                    writeln!(text, "{option:<30} {value} from {since} on; {needed} until then")?;
                }
                _ => writeln!(text, "{option:<30} {value}")?,
            }
        }
        write_lack(notaries, &mut text)?;
        say(&text)
    }

    /// Prints the trail; fails when it was altered.
    pub async fn show_trail(self) -> CommandResult {
        let trail = self.operator()?.trail().await?;
        let mut text = String::new();
        for entry in &trail.entries {
            let node = entry.node.as_ref().map_or("-", |node| node.as_ref());
            let act = serde_json::to_value(entry.act)?;
            let act = act.as_str().unwrap_or_default();
            let (number, time, detail) = (entry.number, date(entry.time), &entry.detail);
            writeln!(text, "{number} {time} {act} {node} {detail}")?;
        }
        say(&text)?;
        if !trail.whole {
            let last = trail.entries.len();
            return Err(format!("the trail was altered after row {last}").into());
        }
        let count = trail.entries.len();
        say(&format!("{count} rows, unaltered; digest of the last: {}\n", trail.last))
    }
}

impl Admit {
    /// Admits the node as what was seen, and shows as what.
    pub async fn run(self) -> CommandResult {
        let operator = self.on.server.operator()?;
        let applicant = applicant(&operator, &self.on.node).await?;
        if applicant.revoked.is_some() && applicant.claims.role == Role::Notary {
            return Err(
                "a revoked notary is not admitted again: let it begin anew, with new keys \
                        in an empty folder"
                    .into(),
            );
        }
        let changed = "it asks for something else by now: hdms server admit NODE_ID shows what";
        match &self.application {
            _ if applicant.is_member => {}
            Some(seen) if *seen != applicant.digest()? => return Err(changed.into()),
            Some(_) => {}
            None => ask(&applicant)?,
        }
        if !operator.admit_as(&applicant).await? {
            return Err(changed.into());
        }
        let is_one = "it is a member, as what it asks to be";
        say(&match (applicant.is_member, &applicant.refused) {
            (true, None) => format!("{is_one}\n"),
            (true, Some(reason)) => {
                format!("{is_one}, and may now ask again for what it was refused: {reason}\n")
            }
            _ => format!("admitted:\n{}", ShownApplicant(&applicant)),
        })
    }
}

async fn applicant(
    operator: &Operator,
    node: &NodeId,
) -> Result<Applicant, Box<dyn std::error::Error>> {
    operator.applicant(node).await.map_err(|error| match error {
        Error::NodeUnknown => {
            format!("{}: no node {node} has ever asked to be admitted", error.code()).into()
        }
        error => error.into(),
    })
}

/// Has the operator look at what is to be admitted.
fn ask(applicant: &Applicant) -> CommandResult {
    say(&ShownApplicant(applicant).to_string())?;
    if !stdin().is_terminal() {
        return Err(
            "say what you have looked into, the application that is shown last: hdms server \
                    admit NODE_ID APPLICATION"
                .into(),
        );
    }
    if agreed("admit it?")? { Ok(()) } else { Err("not admitted".into()) }
}

impl TurnDown {
    /// Refuses what the node asks to be.
    pub async fn refuse(self) -> CommandResult {
        let operator = self.on.server.operator()?;
        let Applicant { is_member, revoked, refused, waits, .. } =
            applicant(&operator, &self.on.node).await?;
        if waits {
            let node = self.on.node;
            operator.refuse(node.clone(), &self.reason).await?;
            return say(&format!("refused: {node}\n"));
        }
        Err(match (is_member, revoked, refused) {
            (true, ..) => {
                "it is a member, and asks for nothing else: hdms server revoke ends that".into()
            }
            (_, Some(reason), _) => format!("it was revoked already: {reason}"),
            (.., Some(reason)) => format!("it was refused already: {reason}"),
            _ => "it asks for nothing that is to be decided".into(),
        }
        .into())
    }
}

impl Revoke {
    /// Revokes the node's card.
    pub async fn run(self) -> CommandResult {
        let TurnDown { on: OnNode { node, server }, reason } = self.turn_down;
        let operator = server.operator()?;
        if let Some(reason) = applicant(&operator, &node).await?.revoked {
            return Err(format!("it was revoked already: {reason}").into());
        }
        if let Some(left) = operator.without(&node).await? {
            let mut text = format!(
                "{node} is a notary: it is never admitted again, and its log ends. The cases whose \
                 entries it logs take no further ones: see \"When a notary is revoked\" in \
                 docs/operator.md.\n"
            );
            if left.count == 0 {
                text += "it is the last one: no case can begin without a notary\n";
            }
            write_lack(left, &mut text)?;
            if let 1..=2 = left.count {
                text += "in a network that had three notaries, all that are left must co-sign its manifest: \
                         while one of them is away nothing that you decide comes into force. Admit another \
                         one first\n";
            }
            say(&text)?;
            if !self.yes && !agreed("revoke it?")? {
                return Err("nothing was revoked: say --yes to revoke a notary".into());
            }
        }
        operator.revoke(node.clone(), &reason).await?;
        say(&format!("revoked: {node}\n"))
    }
}

/// Says so when receipts can't come about, now or once the next rule is in force.
fn write_lack(notaries: Notaries, text: &mut String) -> fmt::Result {
    let Notaries { count, witnessing: Witnessing { needed, next } } = notaries;
    let what = "admit more, or hdms server set --witnesses";
    if notaries.lack(needed) {
        let until = next.map_or(String::new(), |rule| format!(" until {}", date(rule.since)));
        writeln!(
            text,
            "with {count} notaries no receipt gets as many witnesses as it needs, {needed}{until}: {what}"
        )?;
    }
    if let Some(rule) = next.filter(|rule| notaries.lack(rule.needed)) {
        let (since, needed) = (date(rule.since), rule.needed);
        writeln!(
            text,
            "with {count} notaries no receipt will get as many witnesses as it needs from {since} on, \
             {needed}: {what}"
        )?;
    }
    Ok(())
}

/// An application for people.
struct ShownApplicant<'a>(&'a Applicant);

impl fmt::Display for ShownApplicant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(applicant) = self;
        writeln!(f, "{}", applicant.id)?;
        let before = applicant.admitted.as_ref().map(|claims| claims.lines()).unwrap_or_default();
        for (label, text) in applicant.claims.lines() {
            let former = before.iter().find(|(known, _)| *known == label).map(|(_, text)| text);
            match former {
                Some(former) if *former != text => {
                    writeln!(f, "  {label:<16} {text}   (was: {former})")?;
                }
                None if !before.is_empty() => {
                    writeln!(f, "  {label:<16} {text}   (was: nothing)")?;
                }
                _ => writeln!(f, "  {label:<16} {text}")?,
            }
        }
        if let Some(rival) = &applicant.rival {
            writeln!(f, "  the name or the endpoint is that of {rival}: revoke that first")?;
        }
        for Lookalike { id, name, stands } in &applicant.lookalikes {
            let stands = match stands {
                Stands::Member => "",
                Stands::Waits => ", which waits as well",
                Stands::Revoked => ", which was revoked",
            };
            writeln!(f, "  the name looks like that of {id}{stands}: {name}")?;
        }
        if let Some(reason) = &applicant.revoked {
            writeln!(f, "  it was revoked: {reason}")?;
        }
        if let Some(reason) = &applicant.refused {
            writeln!(f, "  it was refused before: {reason}")?;
        }
        writeln!(f, "  {:<16} {}", "asked", date(applicant.asked))?;
        if let Some(from) = applicant.from {
            let bits = if from.is_ipv6() { "/48" } else { "" };
            writeln!(f, "  {:<16} {from}{bits}", "from")?;
        }
        let digest = applicant.digest().map_err(|_| fmt::Error)?;
        writeln!(f, "  {:<16} {digest}", "application")
    }
}
