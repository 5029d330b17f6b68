//! What the device shows when something has come: which kind of message, never what it says or from
//! whom; anybody may see the screen.

use hdms::Error;
use hdms::envelope::MessageType;
use serde::Serialize;
use wasm_bindgen::JsCast;
use web_sys::{NotificationOptions, ServiceWorkerGlobalScope};

use crate::delivery::Arrival;
use crate::js;

/// Most at once: the newest.
const MOST: usize = 5;

/// Where a click leads to, relative to the worker's scope.
#[derive(Serialize)]
struct Data {
    url: String,
}

/// Shows what has come. Answers whether something is shown.
pub async fn show(arrivals: &[Arrival]) -> bool {
    let mut shown = false;
    for arrival in arrivals.iter().rev().take(MOST) {
        shown |= show_one(arrival).await.is_ok();
    }
    shown
}

async fn show_one(arrival: &Arrival) -> Result<(), Error> {
    let (title, url) = match &arrival.taken {
        Ok(taken) => (title(taken.kind), format!("./#/cases/{}", taken.case)),
        Err(_) => ("A message was set aside", "./#/node".to_owned()),
    };
    let options = NotificationOptions::new();
    options.set_body("Open your health node to look at it.");
    // The same message shown again takes the place of the first.
    options.set_tag(&format!("hdms-{}", arrival.seq));
    options.set_data(&js::from(&Data { url })?);
    let global: ServiceWorkerGlobalScope = js_sys::global().unchecked_into();
    let showing = global.registration().show_notification_with_options(title, &options);
    showing.map_err(refused)?.await.map_err(refused).map(drop)
}

fn title(kind: MessageType) -> &'static str {
    match kind {
        MessageType::TreatmentApproval | MessageType::TreatmentRefusal => {
            "A hospital has answered your request"
        }
        MessageType::DataRequest => "A hospital asks for health data",
        MessageType::MedicalResult => "A medical result has arrived",
        _ => "A message has arrived",
    }
}

fn refused<T>(_cause: T) -> Error {
    Error::PushBlocked
}
