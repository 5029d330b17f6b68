//! The open pages.

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Client, ClientQueryOptions, ClientType, ServiceWorkerGlobalScope, VisibilityState, WindowClient,
};

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
    for client in pages().await {
        // A page may end while it is being told.
        let _ = client.unchecked_into::<Client>().post_message(&message);
    }
}

/// Whether a person sees a page of this origin.
pub async fn is_one_visible() -> bool {
    let visible = |page: JsValue| {
        page.unchecked_into::<WindowClient>().visibility_state() == VisibilityState::Visible
    };
    pages().await.into_iter().any(visible)
}

async fn pages() -> Vec<JsValue> {
    let options = ClientQueryOptions::new();
    options.set_include_uncontrolled(true);
    options.set_type(ClientType::Window);
    let global: ServiceWorkerGlobalScope = js_sys::global().unchecked_into();
    let found = global.clients().match_all_with_options(&options).await;
    found.map(|found| Array::from(&found).to_vec()).unwrap_or_default()
}
