//! The treatment request as FHIR: a ServiceRequest (R4) with reason, wished date and what may be
//! read (step 2).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::ids::NodeId;
use crate::treatment::message::{check_kinds, check_text};

/// Names node ids in FHIR identifiers.
pub const NODE_SYSTEM: &str = "urn:hdms:node";

/// What a patient asks of a hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct TreatmentRequest {
    /// Why, in the patient's words.
    pub reason: String,
    /// The wished date, `YYYY-MM-DD`; none when any will do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub date: Option<String>,
    /// FHIR resource types of which the hospital may ask to read records.
    #[serde(default)]
    pub may_read: Vec<String>,
}

impl TreatmentRequest {
    /// As a FHIR R4 ServiceRequest: `reasonCode.text`, `occurrenceDateTime`, and one
    /// `supportingInfo` reference for each type that may be read.
    pub fn to_fhir(&self, patient: &NodeId, hospital: &NodeId) -> Value {
        let node = |id: &NodeId| json!({"identifier": {"system": NODE_SYSTEM, "value": id}});
        let mut resource = json!({
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "proposal",
            "subject": node(patient),
            "requester": node(patient),
            "performer": [node(hospital)],
            "reasonCode": [{"text": self.reason}],
        });
        if let Some(date) = &self.date {
            resource["occurrenceDateTime"] = json!(date);
        }
        if !self.may_read.is_empty() {
            let types = self.may_read.iter().map(|kind| json!({"type": kind}));
            resource["supportingInfo"] = types.collect();
        }
        resource
    }

    /// Whether a new request may say this. [`Error::TextTooLong`] when it is longer than others have to
    /// keep, [`Error::BodyMalformed`] when it gives no reason or its date is none. Those of former versions
    /// may have any text there.
    pub fn check(&self) -> Result<(), Error> {
        check_text(&self.reason)?;
        check_kinds(&self.may_read)?;
        let says_why = !self.reason.trim().is_empty();
        let fits = says_why && self.date.as_deref().is_none_or(is_date);
        if fits { Ok(()) } else { Err(Error::BodyMalformed) }
    }

    /// Reads [`TreatmentRequest::to_fhir`] back. [`Error::BodyMalformed`] when it is no
    /// ServiceRequest with a reason; those of [`TreatmentRequest::check`].
    pub fn from_fhir(resource: &Value) -> Result<Self, Error> {
        if resource["resourceType"] != "ServiceRequest" {
            return Err(Error::BodyMalformed);
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let types = resource["supportingInfo"].as_array().into_iter().flatten();
        let request = Self {
            reason: text(&resource["reasonCode"][0]["text"]).ok_or(Error::BodyMalformed)?,
            date: text(&resource["occurrenceDateTime"]),
            may_read: types.filter_map(|reference| text(&reference["type"])).collect(),
        };
        request.check()?;
        Ok(request)
    }
}

/// Whether this is a FHIR date with its day, `YYYY-MM-DD`.
pub fn is_date(text: &str) -> bool {
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => {
            [year.len(), month.len(), day.len()] == [4, 2, 2]
                && [year, month, day].into_iter().all(are_digits)
                && ("01"..="12").contains(&month)
                && ("01"..="31").contains(&day)
        }
        _ => false,
    }
}
