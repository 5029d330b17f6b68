//! What push services answer.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::base::http::guarded::Unanswered;

/// Bytes read of an answer, whose content is of no interest: so that its connection can be used
/// again.
const READ: usize = 16 * 1024;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// It is on its way.
    Taken,
    /// Nobody can be reached there any more.
    Gone,
    /// It will not be taken however often it is sent.
    Refused(StatusCode),
    /// Not now; not before this long has passed where the service says so.
    Later(Option<Duration>),
}

impl PushOutcome {
    /// What `answer` means (RFC 8030 sections 5 and 7.3, RFC 9110 section 10.2.3).
    pub async fn of(answer: Result<Response, Unanswered>) -> Self {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(Unanswered::OutOfReach) => return Self::Gone,
            Err(_) => return Self::Later(None),
        };
        let mut read = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > READ {
                break;
            }
        }
        match answer.status() {
            status if status.is_success() => Self::Taken,
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Gone,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Self::Later(retry_after(answer.headers()))
            }
            status if status.is_server_error() => Self::Later(retry_after(answer.headers())),
            status => Self::Refused(status),
        }
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::retry_after;
    use reqwest::header::{HeaderMap, RETRY_AFTER};
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_service_may_say_in_seconds_or_by_a_date_when_to_come_back() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after(&headers)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(of(&date).is_some_and(|wait| (90..=100).contains(&wait.as_secs())));
        for odd in ["", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
