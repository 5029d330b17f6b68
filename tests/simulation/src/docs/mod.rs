//! The examples and tables of `docs/protocol.md`, made from the code so that they can't go stale.
//! In the page each stands between `<!-- example: NAME -->` and `<!-- end -->`.

mod examples;
mod tables;

use hdms::Error;
use hdms::base64url;
use hdms::json;
use hdms::log::TlogProof;
use hdms::record::sdjwt::Parts;
use serde_json::{Map, Value};

/// The page as it was written down.
pub const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// The full texts behind the page's examples as they were written down.
pub const EXAMPLES: &str = include_str!("../../../../docs/examples.json");

/// Longest text that the page shows whole, characters.
const LONGEST: usize = 80;

/// What stands between two markers.
enum Example {
    /// A compact JWS: header and payload are shown.
    Jws(String),
    /// A compact JWE: its header is shown.
    Jwe(String),
    /// An SD-JWT: header, payload and disclosures are shown.
    SdJwt(String),
    /// An SD-JWT with key binding, of which only that is shown.
    Presentation(String),
    /// A receipt: its text is shown, and what opens the leaf.
    Receipt(String),
    /// Lines of text.
    Text(String),
    /// JSON.
    Json(Value),
    /// JSON, of which the page holds enough.
    Part(Value),
    /// Markdown.
    Table(String),
}

/// The page and its examples, made anew.
pub struct Reference {
    examples: Vec<(String, Example)>,
}

impl Reference {
    /// Runs the scenario from which the examples are taken.
    pub async fn new() -> Result<Self, Error> {
        let mut examples = examples::all().await?;
        examples.extend(tables::all());
        Ok(Self { examples })
    }

    /// `page` with everything between its markers made anew. [`Error::NotFound`] when it asks for
    /// an example that there is none of, [`Error::CommandMalformed`] when one has no end or one
    /// is not asked for.
    pub fn fill(&self, page: &str) -> Result<String, Error> {
        let (mut filled, mut rest) = (String::new(), page);
        let mut asked = 0;
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (name, after) = after.split_once(" -->\n").ok_or(Error::CommandMalformed)?;
            let (_, after) = after.split_once(END).ok_or(Error::CommandMalformed)?;
            let found = self.examples.iter().find(|(known, _)| known == name);
            let (_, example) = found.ok_or(Error::NotFound)?;
            filled += &format!("{before}{BEGIN}{name} -->\n{}{END}", example.markdown()?);
            (rest, asked) = (after, asked + 1);
        }
        if asked == self.examples.len() { Ok(filled + rest) } else { Err(Error::CommandMalformed) }
    }

    /// The full text of every example, by name.
    pub fn full(&self) -> Result<String, Error> {
        let full = self.examples.iter().filter_map(|(name, example)| match example {
            Example::Jws(text)
            | Example::Jwe(text)
            | Example::SdJwt(text)
            | Example::Presentation(text)
            | Example::Receipt(text)
            | Example::Text(text) => Some((name.clone(), text.as_str().into())),
            Example::Json(value) => Some((name.clone(), value.clone())),
            Example::Part(_) | Example::Table(_) => None,
        });
        pretty(&Value::Object(full.collect())).map(|text| text + "\n")
    }
}

const BEGIN: &str = "<!-- example: ";
const END: &str = "<!-- end -->";

impl Example {
    fn markdown(&self) -> Result<String, Error> {
        Ok(match self {
            Example::Jws(compact) => block(&parts(compact)?),
            Example::Jwe(compact) => {
                block(&format!("// protected header\n{}", shown(&part(compact, 0)?)?))
            }
            Example::SdJwt(compact) => block(&sd_jwt(compact)?),
            Example::Presentation(compact) => {
                let binding = Parts::parse(compact)?.key_binding.unwrap_or_default();
                block(&parts(binding)?)
            }
            Example::Receipt(text) => receipt(text)?,
            Example::Text(text) => format!("```\n{text}\n```\n"),
            Example::Json(value) | Example::Part(value) => block(&shown(value)?),
            Example::Table(markdown) => markdown.clone(),
        })
    }
}

fn block(text: &str) -> String {
    format!("```jsonc\n{text}\n```\n")
}

/// Header and payload of a compact JWS.
fn parts(jws: &str) -> Result<String, Error> {
    let (header, payload) = (shown(&part(jws, 0)?)?, shown(&part(jws, 1)?)?);
    Ok(format!("// protected header\n{header}\n// payload\n{payload}"))
}

fn sd_jwt(compact: &str) -> Result<String, Error> {
    let presented = Parts::parse(compact)?;
    let mut text = parts(presented.jwt)? + "\n// disclosures";
    for disclosure in presented.disclosures() {
        text += &format!("\n{}", abbreviated(&decode(disclosure)?));
    }
    Ok(text)
}

/// The text of a receipt, its long lines cut short, and what opens the leaf.
fn receipt(text: &str) -> Result<String, Error> {
    let opening = TlogProof::parse(text)?.extra.ok_or(Error::NotFound)?;
    let lines = text.lines().map(|line| match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…\n", &line[..end]),
        None => format!("{line}\n"),
    });
    let opening = shown(&json::parse(&opening)?)?;
    Ok(format!("```\n{}```\n{}", lines.collect::<String>(), block(&format!("// extra\n{opening}"))))
}

/// The JSON in one part of a compact JWS or JWE.
fn part(compact: &str, place: usize) -> Result<Value, Error> {
    decode(compact.split('.').nth(place).ok_or(Error::EnvelopeMalformed)?)
}

fn decode(text: &str) -> Result<Value, Error> {
    json::parse(&base64url::decode(text).ok_or(Error::EnvelopeMalformed)?)
}

fn shown(value: &Value) -> Result<String, Error> {
    pretty(&abbreviated(value))
}

fn pretty(value: &Value) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|_| Error::StoreCorrupt)
}

/// With encoded texts cut short.
fn abbreviated(value: &Value) -> Value {
    match value {
        Value::String(text)
            if text.len() > LONGEST && (!text.contains(' ') || text.contains('\n')) =>
        {
            format!("{}…", text.chars().take(24).collect::<String>()).into()
        }
        Value::Array(elements) => elements.iter().map(abbreviated).collect(),
        Value::Object(members) => {
            let short = |(name, value): (&String, &Value)| (name.clone(), abbreviated(value));
            Value::Object(members.iter().map(short).collect::<Map<_, _>>())
        }
        plain => plain.clone(),
    }
}
