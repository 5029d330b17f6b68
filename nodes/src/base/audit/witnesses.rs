//! What the witnesses know of a log: what they have co-signed, and what they were alarmed by. Only
//! what the log has signed counts.

use hdms::answers::WITNESSED;
use hdms::ids::NodeId;
use hdms::log::{NoteKey, SignedCheckpoint};

use super::fault::{Claim, Source, Unchecked};
use super::fetch::Fetch;
use super::report::{self, Witness};
use crate::base::keys::AwsPrimitives;
use crate::base::log::witnessed::{WitnessAlarms, WitnessState};

/// Asks the witness `id` at `url` about the log with this key. Answers also the checkpoints that it
/// knows of and that the log has signed.
pub async fn ask(fetch: &Fetch, id: NodeId, url: String, log: &NoteKey) -> (Witness, Vec<Claim>) {
    let mut witness =
        Witness { id, url, cosigned: None, alarms: Vec::new(), unsigned: 0, silent: None };
    let mut claims = Vec::new();
    if let Err(silent) = listen(fetch, &mut witness, &mut claims, log).await {
        witness.silent = Some(silent);
    }
    (witness, claims)
}

async fn listen(
    fetch: &Fetch,
    witness: &mut Witness,
    claims: &mut Vec<Claim>,
    log: &NoteKey,
) -> Result<(), Unchecked> {
    let WitnessState { logs } = fetch.json(&witness.url, "/witness/state", WITNESSED).await?;
    let WitnessAlarms { alarms } = fetch.json(&witness.url, "/witness/alarms", WITNESSED).await?;
    for state in logs.iter().filter(|state| state.log == log.name) {
        let source = Source::Cosigned(witness.id.clone());
        if let Some(claim) = signed(&state.checkpoint, source, log, witness).await {
            witness.cosigned = Some(claim.size());
            claims.push(claim);
        }
    }
    for alarm in alarms.iter().filter(|alarm| alarm.log == log.name) {
        let mut sizes = Vec::new();
        for note in [&alarm.refused, &alarm.cosigned] {
            let source = Source::Alarm(witness.id.clone());
            if let Some(claim) = signed(note, source, log, witness).await {
                sizes.push(claim.size());
                claims.push(claim);
            }
        }
        if let Ok(sizes) = sizes.try_into() {
            let (kind, time) = (alarm.kind.clone(), alarm.time);
            witness.alarms.push(report::Alarm { kind, time, sizes });
        }
    }
    Ok(())
}

/// The checkpoint in `note`, if the log has signed it.
async fn signed(note: &str, source: Source, log: &NoteKey, witness: &mut Witness) -> Option<Claim> {
    let checkpoint = SignedCheckpoint::parse(note).ok();
    if let Some(checkpoint) = checkpoint
        && checkpoint.verify_log(log, &AwsPrimitives).await.is_ok()
    {
        return Some(Claim { checkpoint, source });
    }
    witness.unsigned += 1;
    None
}
