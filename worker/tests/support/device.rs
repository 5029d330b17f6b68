//! A device in a simulated network: its node lies in IndexedDB as a browser keeps it, its server is a
//! table of answers, and what it would show is written down.

#![allow(dead_code, reason = "each test file uses a part")]

use std::rc::Rc;

use hdms::ids::{CaseId, MessageId};
use hdms::json;
use hdms::memory::MemoryStore;
use hdms::network::{Split, Superseded, split};
use hdms::node::Platform;
use hdms::provider::{Clock, Store, Table, Write};
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};
use hdms_worker::commands::Command;
use hdms_worker::store::IndexedDb;
use hdms_worker::worker::Worker;
use js_sys::{JSON, Object, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::support::fresh_name;

const CASE: &str = "019b7985-7400-7000-8000-000000000001";
const KEYS: &str = include_str!("../../../tests/simulation/vectors/keys.json");

/// The server's VAPID key: any 65 bytes will do for a browser that does not encrypt.
pub const VAPID: &str =
    "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[wasm_bindgen(inline_js = r#"
    const realFetch = globalThis.fetch, realNow = Date.now;
    const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const realTimeout = globalThis.setTimeout, realDecrypt = SubtleCrypto.prototype.decrypt;
    let subscription = null, made = 0, state;

    // The deadline of what the node does in one turn.
    globalThis.setTimeout = (call, time) => realTimeout(call, time === 15_000 ? (state?.patience ?? time) : time);
    SubtleCrypto.prototype.decrypt = function (...options) {
        if (!state?.stuck) return realDecrypt.apply(this, options);
        state.stuck -= 1;
        return new Promise(() => {});
    };
    globalThis.fetch = async (input, init) => {
        const request = new Request(input, init);
        const { origin, pathname, searchParams } = new URL(request.url);
        const ofServer = origin === "https://server.test";
        const path = ofServer ? pathname : request.url;
        const answer = state?.answers[path];
        if (!ofServer && answer === undefined) return realFetch(request);
        const body = await request.text();
        if (answer === undefined) throw new TypeError("no network");
        state.asked.push([path, body.startsWith("{") ? JSON.parse(body) : body || null]);
        if (answer === null) return new Response(null, { status: 204 });
        if (path === "/mailbox") {
            const messages = answer.messages.filter(({ seq }) => seq > searchParams.get("after"));
            return Response.json({ ...answer, messages });
        }
        return Response.json(answer, { status: answer.status ?? 200 });
    };
    registration.showNotification = async (title, { body, tag, data }) => {
        if (!state.permitted) throw new TypeError("no permission");
        state.shown.push([title, body, tag, data.url]);
    };
    clients.matchAll = async () =>
        state.pages.map((visibilityState) => ({ visibilityState, postMessage() {} }));
    Object.defineProperty(registration, "pushManager", { value: {
        getSubscription: async () => subscription,
        subscribe: async ({ applicationServerKey: key, userVisibleOnly }) => {
            if (!userVisibleOnly || !state.permitted) throw new DOMException("", "NotAllowedError");
            if (!state.service) throw new DOMException("", "AbortError");
            await new Promise((resolve) => setTimeout(resolve, state.slowness));
            made += 1;
            const json = { endpoint: `https://push.test/${made}`, expirationTime: state.expires,
                keys: { p256dh: "A".repeat(87), auth: "A".repeat(22) } };
            return (subscription = {
                options: { applicationServerKey: bytes(key).buffer },
                toJSON: () => json,
                unsubscribe: async () => ((subscription = null), true),
            });
        },
    } });

    export function set_clock(now) {
        const offset = now - realNow();
        Date.now = () => realNow() + offset;
    }
    export function begin(now) {
        set_clock(now);
        subscription = null;
        made = 0;
        state = { answers: {}, asked: [], shown: [], pages: [],
            permitted: true, service: true, slowness: 0, expires: null, stuck: 0, patience: null };
    }
    export const look = () => JSON.stringify(state);
    export const change = (text) => void Object.assign(state, JSON.parse(text));
    export const has_subscription = () => subscription !== null;
    export async function key_pair(text, name, private_use, public_use) {
        const { kty, n, e, crv, x, y, ...secret } = JSON.parse(text);
        const open = { kty, n, e, crv, x, y };
        const algorithm = { name, hash: "SHA-256", namedCurve: "P-256" };
        const take = (jwk, extractable, use) =>
            crypto.subtle.importKey("jwk", jwk, algorithm, extractable, [use]);
        const privateKey = await take({ ...open, ...secret }, false, private_use);
        return { privateKey, publicKey: await take(open, true, public_use) };
    }
"#)]
extern "C" {
    fn begin(now: f64);
    fn set_clock(now: f64);
    fn look() -> String;
    fn change(text: &str);
    fn has_subscription() -> bool;
    async fn key_pair(text: &str, name: &str, private_use: &str, public_use: &str) -> JsValue;
}

/// A device whose node has asked a hospital for treatment.
pub struct Device {
    /// The others.
    pub world: World,
    /// The device's node.
    pub worker: Rc<Worker>,
    store: IndexedDb,
}

impl Device {
    /// Online, with an empty mailbox.
    pub async fn new() -> Self {
        begin((BEGIN.0 + 60_000) as f64);
        let mut world = World::new(1).await.unwrap();
        let request = TreatmentRequest {
            reason: "Cough".into(),
            date: None,
            may_read: vec!["Observation".into()],
        };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.settle().await.unwrap();
        let mail = world.mail.remove(0);
        world.deliver(&mail).await.unwrap();
        publish(&mut world, VAPID).await;

        let name = fresh_name("device");
        let store = IndexedDb::open(&name).await.unwrap();
        keep_keys(&store).await;
        copy(world.patient.platform().store(), &store).await;
        let config =
            json!({"version": 1, "server": "https://server.test", "root": world.root, "name": ""});
        let card = world.patient.card().jwt().to_owned().into_bytes();
        let rows = [
            ("config", config.to_string().into_bytes()),
            ("card", card),
            ("network", json::write(&world.documents).unwrap()),
        ];
        let rows = rows.into_iter().map(|(key, value)| put(Table::Meta, key.into(), value));
        store.commit(rows.collect()).await.unwrap();
        let device = Self { worker: Worker::open(&name).await.unwrap(), world, store };
        device.has_mail(&[], &[]);
        device
    }

    /// The envelope with which the hospital approves, and the one with which it asks for data.
    pub async fn envelopes(&mut self) -> [String; 2] {
        self.world.hospital.approve(&case()).await.unwrap();
        let id: MessageId = "019b7985-7400-7000-8000-000000000009".parse().unwrap();
        let asked =
            DataRequestBody { id, resources: vec!["Observation".into()], purpose: "Care".into() };
        self.world.settle().await.unwrap();
        self.world.hospital.ask_for_data(&case(), asked).await.unwrap();
        self.world.settle().await.unwrap();
        let mut envelopes = self.world.mail.drain(..).map(|mail| mail.envelope);
        [envelopes.next().unwrap(), envelopes.next().unwrap()]
    }

    /// The envelope with which the hospital approves, and the one with a result.
    pub async fn with_result(&mut self) -> [String; 2] {
        self.world.hospital.approve(&case()).await.unwrap();
        self.world.settle().await.unwrap();
        let hospital = &self.world.hospital;
        let result = json!({"resourceType": "Observation"});
        hospital.hand_in(&case(), vec![result], None).await.unwrap();
        self.world.settle().await.unwrap();
        let mut envelopes = self.world.mail.drain(..).map(|mail| mail.envelope);
        [envelopes.next().unwrap(), envelopes.next().unwrap()]
    }

    /// From now on the server has these messages, counted from 1, and these subscriptions.
    pub fn has_mail(&self, envelopes: &[&str], subscriptions: &[String]) {
        let from = self.world.hospital.id();
        let message = |(at, envelope)| json!({"seq": at + 1, "from": from, "envelope": envelope});
        let messages: Vec<_> = envelopes.iter().enumerate().map(message).collect();
        let kid = self.world.patient.card().encryption_key().unwrap().thumbprint();
        let mailbox = json!({"messages": messages, "more": false, "subscriptions": subscriptions,
            "kid": kid});
        self.change("answers", json!({
            "/network": self.world.documents, "/mailbox": mailbox, "/mailbox/acknowledgement": null,
            "/mailbox/subscriptions": null, "/mailbox/subscriptions/removal": null,
        }));
    }

    /// From now on the server answers this at this path as well, or another node at this address; with
    /// the status that it has.
    pub fn answers(&self, path: &str, answer: Value) {
        let mut answers = look_at("answers");
        answers[path] = answer;
        self.change("answers", answers);
    }

    /// Sets the device's clock so many days after the simulation's beginning.
    pub fn days_later(&self, days: u64) {
        set_clock((BEGIN.0 + days * 24 * 3600 * 1000) as f64);
    }

    /// From now on no server is reached.
    pub fn is_offline(&self) {
        self.change("answers", json!({}));
    }

    /// Changes how the browser behaves.
    pub fn change(&self, name: &str, value: Value) {
        change(&json!({ name: value }).to_string());
    }

    /// Title, text, tag and address of all that was shown.
    pub fn shown(&self) -> Value {
        look_at("shown")
    }

    /// The bodies that the server got at this path.
    pub fn told(&self, path: &str) -> Vec<Value> {
        let asked = look_at("asked");
        let at_path = asked.as_array().unwrap().iter().filter(|request| request[0] == path);
        at_path.map(|request| request[1].clone()).collect()
    }

    /// Whether the browser has a subscription.
    pub fn has_subscription(&self) -> bool {
        has_subscription()
    }

    /// How many rows a table has.
    pub async fn count(&self, table: Table) -> u32 {
        self.store.count(table).await.unwrap()
    }

    /// Another VAPID key in the network parameters.
    pub async fn changes_vapid(&mut self, key: &str) {
        publish(&mut self.world, key).await;
    }

    /// From now on the server shows another network under the number of the manifest that the node has.
    pub async fn shows_another_network(&mut self) {
        self.world.network.revocations.number += 1;
        let hospital = self.world.hospital.id().clone();
        self.world.network.revocations.revoked.push(hospital);
        let documents = self.world.operator.publish(&self.world.network).await.unwrap();
        self.world.documents = documents;
        self.has_mail(&[], &[]);
    }

    /// The hospital has changed its keys, and the revocation list says so: its cards of before end.
    pub async fn hospital_changes_keys(&mut self) {
        let world = &mut self.world;
        let hospital = world.hospital.card();
        world.providers.clock.advance(1000);
        let before = world.providers.clock.now().seconds();
        let new = keys("stranger", world.providers.randomness.clone()).unwrap();
        let old = (hospital.card(), world.hospital.platform().keys());
        let card = world.operator.changed_card(old, &new, before).await.unwrap();
        let listed = &mut world.network.map.nodes;
        *listed.iter_mut().find(|card| **card == hospital.jwt()).unwrap() = card;
        world.network.map.number += 1;
        let ended = Superseded { node: hospital.id().clone(), before };
        world.network.revocations.superseded.push(ended);
        world.network.revocations.number += 1;
        publish(&mut self.world, VAPID).await;
    }

    /// The case's notary is a member no more, since all that it has logged was co-signed.
    pub async fn notary_is_revoked(&mut self) {
        let card = self.world.notary.card().jwt().to_owned();
        let map = &mut self.world.network.map;
        map.nodes.retain(|listed| *listed != card);
        let until = self.world.providers.clock.now().seconds() + 1;
        self.world.network.map.logs[0].until = Some(until);
        self.world.network.map.number += 1;
        publish(&mut self.world, VAPID).await;
    }

    /// The hospital is a member no more.
    pub async fn hospital_is_revoked(&mut self) {
        let hospital = &self.world.hospital;
        self.world.network.revocations.revoked.push(hospital.id().clone());
        self.world.network.revocations.number += 1;
        publish(&mut self.world, VAPID).await;
    }

    /// What the node answers a page.
    pub async fn answered(&self, command: Command) -> Value {
        let answer = self.worker.execute("", command).await.unwrap();
        serde_json::from_str(&JSON::stringify(&answer).unwrap().as_string().unwrap()).unwrap()
    }

    /// The evidence that the node keeps of two networks.
    pub async fn evidence(&self) -> Option<Split> {
        split(&self.store).await.unwrap()
    }

    /// As when the browser has stopped the worker and started it again.
    pub async fn restart(&mut self) {
        self.worker = Worker::open(&self.store.name()).await.unwrap();
    }
}

/// The case that the patient has begun.
pub fn case() -> CaseId {
    CASE.parse().unwrap()
}

fn look_at(name: &str) -> Value {
    let mut state: Value = serde_json::from_str(&look()).unwrap();
    state[name].take()
}

/// The next documents, with this key in the parameters, for who has seen those before.
async fn publish(world: &mut World, vapid: &str) {
    let seen = world.network.number;
    world.network.parameters.vapid = Some(vapid.into());
    world.network.parameters.number += 1;
    world.network.number += 1;
    let documents = world.operator.publish(&world.network).await.unwrap();
    world.documents = world.operator.offered(&documents, seen);
}

async fn keep_keys(store: &IndexedDb) {
    let keys: Value = serde_json::from_str(KEYS).unwrap();
    let kept = Object::new();
    for (part, name, private_use, public_use) in [
        ("signing", "RSA-PSS", "sign", "verify"),
        ("encryption", "RSA-OAEP", "decrypt", "encrypt"),
        ("request", "ECDSA", "sign", "verify"),
    ] {
        let text = keys["patient"][part].to_string();
        let pair = key_pair(&text, name, private_use, public_use).await;
        Reflect::set(&kept, &part.into(), &pair).unwrap();
    }
    store.keep_key("node", &kept).await.unwrap();
}

async fn copy(from: &MemoryStore, to: &IndexedDb) {
    let mut writes = Vec::new();
    for table in Table::ALL {
        let rows = from.scan(table, "", "", 1000).await.unwrap();
        writes.extend(rows.into_iter().map(|(key, value)| put(table, key, value)));
    }
    to.commit(writes).await.unwrap();
}

fn put(table: Table, key: String, value: Vec<u8>) -> Write {
    Write::Put { table, key, value }
}
