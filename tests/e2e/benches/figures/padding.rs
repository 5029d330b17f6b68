//! What padding adds to the envelopes of a treatment whose results are the IPS examples.

use std::collections::BTreeMap;
use std::fs;

use hdms::base64url::decode;
use hdms::ids::CaseId;
use hdms::jose::jwe;
use hdms::software::Software;
use hdms_simulation::transcript::{CASE, Run};
use hdms_simulation::{Mail, Providers, keys};
use hdms_tests::{Result, pages};
use serde_json::Value;

use crate::table::Table;

/// Bytes of the signed JWTs' payloads of one type of message.
#[derive(Default)]
struct Sizes {
    messages: usize,
    content: usize,
    padded: usize,
}

impl Sizes {
    /// Percent.
    fn overhead(&self) -> f64 {
        (self.padded as f64 / self.content as f64 - 1.0) * 100.0
    }
}

/// Each type of message by itself.
pub async fn overhead(table: &mut Table) -> Result<()> {
    let mut run = Run::begin(1).await?;
    run.approve().await?;
    run.share_own().await?;
    let mut messages = std::mem::take(&mut run.messages);
    for fhir in examples()? {
        messages.extend(treat(&mut run, fhir).await?);
    }
    let mut types = BTreeMap::<String, Sizes>::new();
    for mail in &messages {
        let payload = payload(mail, &run.world.providers).await?;
        let sizes = types.entry(mail.kind.clone()).or_default();
        sizes.messages += 1;
        sizes.content += payload.trim_ascii_end().len();
        sizes.padded += payload.len();
    }
    for (kind, sizes) in types {
        table.beside(
            &format!("padding of {kind}"),
            format!(
                "{:.1} % of {} bytes on average ({} messages)",
                sizes.overhead(),
                sizes.content / sizes.messages,
                sizes.messages
            ),
        );
    }
    Ok(())
}

fn examples() -> Result<Vec<Value>> {
    let folder = pages::root().join("node_modules/hl7.fhir.uv.ips/example");
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    files.sort_by_key(|file| file.file_name());
    let parsed = files.iter().map(|file| Ok(hdms::json::parse(&fs::read(file.path())?)));
    Ok(parsed.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Hands a result in and confirms it, and answers what was sent; nothing of what is no record.
async fn treat(run: &mut Run, fhir: Value) -> Result<Vec<Mail>> {
    let (world, case) = (&mut run.world, CASE.parse::<CaseId>()?);
    let Ok(entries) = world.hand_in(&case, vec![fhir]).await else { return Ok(Vec::new()) };
    let mut sent = settled(run).await?;
    run.world.patient.confirm(&case, &entries).await?;
    sent.extend(settled(run).await?);
    Ok(sent)
}

async fn settled(run: &mut Run) -> Result<Vec<Mail>> {
    let mut sent = Vec::new();
    run.world.settle().await?;
    while !run.world.mail.is_empty() {
        let mail = run.world.mail.remove(0);
        run.world.deliver(&mail).await?;
        sent.push(mail);
    }
    Ok(sent)
}

/// Of the signed JWT in the envelope.
async fn payload(mail: &Mail, providers: &Providers) -> Result<Vec<u8>> {
    let to = if mail.to_patient { "patient" } else { "hospital" };
    let keys = keys(to, providers.randomness.clone())?;
    let sealed = jwe::CompactJwe::parse(&mail.envelope)?;
    let signed = String::from_utf8(
        sealed.decrypt(&keys, &Software::new(providers.randomness.clone())).await?,
    )?;
    Ok(signed.split('.').nth(1).and_then(decode).ok_or("a JWT has three parts")?)
}
