//! Chromium, as far as a sender depends on it.

use hdms_push_services::Google;
use reqwest::Client;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What counts of a check-in's answer.
#[derive(prost::Message)]
struct Device {
    #[prost(fixed64, tag = "7")]
    id: u64,
    #[prost(fixed64, tag = "8")]
    secret: u64,
}

/// Checks in and subscribes as Chromium does; answers the subscription.
pub async fn chromium(google: &Google, key: &str) -> Result<String> {
    let url = google.url();
    let answer = Client::new().post(format!("{url}/checkin")).send().await?.bytes().await?;
    let device: Device = prost::Message::decode(answer)?;
    let form = [
        ("app", "org.chromium.linux"),
        ("X-subtype", "wp:https://example.org/#1"),
        ("device", &device.id.to_string()),
        ("sender", key),
    ];
    let register = Client::new().post(format!("{url}/register")).form(&form);
    let stranger = register.try_clone().ok_or("no copy")?.header("authorization", "AidLogin 1:1");
    assert_eq!(stranger.send().await?.status(), 401);
    let login = format!("AidLogin {}:{}", device.id, device.secret);
    let answer = register.header("authorization", login).send().await?.text().await?;
    Ok(answer.strip_prefix("token=").ok_or("no token")?.to_owned())
}
