//! Native figures: envelopes beside the bare private-key operation, and cases beside both.

use std::time::Instant;

use hdms::card::{Card, Role, VerifiedCard};
use hdms::envelope::{self, Message, MessageType, Opening, Sealed};
use hdms::ids::CaseId;
use hdms::network::Trust;
use hdms::provider::{Clock, NodeKeys};
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives};
use hdms_nodes::base::system::SystemRandomness;
use hdms_nodes::local::scenario::{Style, Treatment};
use hdms_simulation::{BEGIN, Operator, Providers};
use hdms_tests::{Result, pages};
use serde_json::json;

use crate::table::{Table, median};

/// Operations in a round, and rounds of which the middle one counts.
const OPERATIONS: usize = 200;
const ROUNDS: usize = 9;

/// Of 2 KB.
const TEXT: usize = 2_000;

/// Share of the bare operation's rate that an envelope has to reach.
const SHARE: f64 = 0.9;

/// Envelopes of 2 KB, opened and sealed with every check, beside the bare RSA operations in turn.
pub async fn operations(table: &mut Table) -> Result<()> {
    let node = Node::new().await?;
    let envelope = node.seal().await?;
    let encrypted_key = envelope.split('.').nth(1).and_then(hdms::base64url::decode);
    let encrypted_key = encrypted_key.ok_or("an envelope has five parts")?;
    let text = envelope.as_bytes();
    let mut took = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let [decrypt, open, sign, seal] = &mut took;
        decrypt.push(milliseconds(async || node.decrypt(&encrypted_key).await).await?);
        open.push(milliseconds(async || node.open(&envelope).await).await?);
        sign.push(milliseconds(async || node.sign(text).await).await?);
        seal.push(milliseconds(async || node.seal().await.map(drop)).await?);
    }
    let [decrypt, open, sign, seal] = took.map(median);
    let rates = [("open", open, "decrypt", decrypt), ("seal", seal, "sign", sign)];
    for (what, ours, bare, operation) in rates {
        let share = operation / ours;
        table.held(
            &format!("native: {what} a 2 KB envelope, RSA-3072"),
            format!("90 % of bare {bare}'s rate"),
            format!("{:.0} % ({ours:.3} ms, bare {operation:.3} ms)", share * 100.0),
            share >= SHARE,
        );
    }
    Ok(())
}

/// A thousand cases of treatment over real HTTP in this process.
pub async fn scenario(table: &mut Table) -> Result<()> {
    let records = vec![pages::root().join("node_modules/hl7.fhir.uv.ips/example")];
    let treatment =
        Treatment { records, cases: Some(1000), concurrency: 64, style: Style::Summary };
    let summary = treatment.run().await.map_err(|failed| failed.to_string())?;
    let rate = summary.cases_per_core_second;
    table.held(
        "native: cases of treatment per second and core",
        "at least 60".into(),
        format!("{rate:.1} ({:.1} per second in all)", summary.cases_per_second),
        rate >= 60.0 && summary.failed == 0,
    );
    table.beside(
        "  RSA private operations per case, share of time",
        format!(
            "{:.1}, {:.0} %",
            summary.private_operations_per_case,
            summary.private_operations_share * 100.0
        ),
    );
    Ok(())
}

async fn milliseconds(operation: impl AsyncFn() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..OPERATIONS {
        operation().await?;
    }
    Ok(start.elapsed().as_secs_f64() * 1000.0 / OPERATIONS as f64)
}

/// A hospital that writes to itself.
struct Node {
    keys: AwsKeys,
    card: VerifiedCard,
    trust: Trust,
    providers: Providers,
    case: CaseId,
}

impl Node {
    async fn new() -> Result<Self> {
        let providers = Providers {
            clock: hdms::testing::FixedClock::new(BEGIN),
            randomness: hdms::testing::SeededRandomness::new(1),
        };
        let operator = Operator::new(&providers)?;
        let keys = AwsKeys::generate()?;
        let signing_key = keys.public().0;
        let other = hdms_simulation::keys("hospital", providers.randomness.clone())?;
        let claims = Card {
            sub: signing_key.thumbprint().parse()?,
            signing_key: signing_key.clone(),
            subkeys: keys.stated_subkeys(BEGIN).await?,
            ..operator.claims(&other, Role::Institution, "Hospital").await?
        };
        let jwt = operator.sign(&claims).await?;
        let documents = operator.documents(std::slice::from_ref(&jwt), &[]).await?;
        let root = hdms_simulation::keys("root", providers.randomness.clone())?;
        let trust = Trust::verify(&documents, root.public().0, None, BEGIN, &AwsPrimitives).await?;
        let card = VerifiedCard::verify(&jwt, &trust, BEGIN, &AwsPrimitives).await?;
        let case = CaseId::new(&providers.clock, &providers.randomness)?;
        Ok(Self { keys, card, trust, providers, case })
    }

    async fn decrypt(&self, encrypted_key: &[u8]) -> Result<()> {
        let kid = self.keys.public().1.thumbprint();
        Ok(self.keys.decrypt_oaep(&kid, encrypted_key).await.map(drop)?)
    }

    async fn sign(&self, text: &[u8]) -> Result<()> {
        Ok(self.keys.sign_ps256(text).await.map(drop)?)
    }

    async fn seal(&self) -> Result<String> {
        let message = Message {
            from: &self.card,
            to: &self.card,
            case: &self.case,
            kind: MessageType::DataRequest,
            body: json!({"text": "x".repeat(TEXT)}),
        };
        let clock = &self.providers.clock;
        let sealed =
            envelope::seal(message, &self.keys, &AwsPrimitives, clock, &SystemRandomness).await?;
        Ok(sealed.1)
    }

    async fn open(&self, envelope: &str) -> Result<()> {
        let received = self.providers.clock.now();
        let opening = Opening { me: &self.card, trust: &self.trust, received };
        let sealed = Sealed::parse(envelope.as_bytes())?;
        let decrypted = sealed.decrypt(&self.keys, &AwsPrimitives).await?;
        decrypted.verify(None, opening, &AwsPrimitives).await?;
        Ok(())
    }
}
