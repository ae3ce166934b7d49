//! The lines for events.

use wirehub_client_core::{Error, Gap, StateChange, Update};
use wirehub_common::{Content, Payload};

pub(crate) fn state(change: &StateChange) -> String {
    match change.code {
        Some(code) => format!("state: {} {}", change.state.as_str(), code.number()),
        None => format!("state: {}", change.state.as_str()),
    }
}

pub(crate) fn result<T>(of: &str, result: Result<T, Error>, text: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => format!("{of}: {}", text(value)),
        Err(error) => format!("{of}: error {}", error.code().number()),
    }
}

pub(crate) fn item(channel: &str, item: Option<Result<Update<Payload>, Error>>) -> String {
    match item {
        Some(Ok(Update::Publication(publication))) => format!("{channel}: {}", text(&publication.message)),
        Some(Ok(Update::Gap(reason))) => format!("{channel}: gap {}", gap(reason)),
        Some(Ok(_)) => format!("{channel}: another update"),
        Some(Err(error)) => format!("{channel}: ended {}", error.code().number()),
        None => format!("{channel}: ended"),
    }
}

pub(crate) fn text(payload: &Payload) -> String {
    match payload.content {
        Content::Json => serde_json::from_slice(&payload.data).unwrap(),
        Content::Attachment => {
            let (head, bytes) = payload.attachment_parts().unwrap();
            format!("{} with bytes {bytes:?}", serde_json::from_slice::<String>(head).unwrap())
        }
        Content::Bytes | Content::Custom => format!("bytes {:?}", payload.data.as_ref() as &[u8]),
    }
}

fn gap(reason: Gap) -> &'static str {
    match reason {
        Gap::NoHistory => "no-history",
        Gap::Lost => "lost",
        Gap::Dropped => "dropped",
        _ => "of another kind",
    }
}
