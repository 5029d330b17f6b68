//! The open pages.

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::JsCast;
use web_sys::{Client, ClientQueryOptions, ClientType, ServiceWorkerGlobalScope};

use crate::js;
use crate::views::NodeEvent;

/// Tells every page of this origin, as `{"hdms": event}`. A page that has gone misses nothing: the
/// next one asks for the state.
pub async fn tell(event: &NodeEvent) {
    let message = Object::new();
    let Ok(event) = js::from(event) else { return };
    if Reflect::set(&message, &"hdms".into(), &event).is_err() {
        return;
    }
    let options = ClientQueryOptions::new();
    options.set_include_uncontrolled(true);
    options.set_type(ClientType::Window);
    let global: ServiceWorkerGlobalScope = js_sys::global().unchecked_into();
    let Ok(found) = global.clients().match_all_with_options(&options).await else { return };
    for client in Array::from(&found).iter() {
        // A page may end while it is being told.
        let _ = client.unchecked_into::<Client>().post_message(&message);
    }
}
