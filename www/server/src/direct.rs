//! Private messages: a call writes into the channels of both users, so that all of their pages have them.

use std::time::Duration;

use wirehub_common::contract::Message as _;
use wirehub_demo_contract::{
    Direct, DirectMessage, Nothing, ReadDirect, ReadRequest, SendDirect, SendRequest, SendResponse, codes,
};
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::namespace::{History, Namespace};
use wirehub_server::{Builder, Hub};

use crate::throttle::Throttle;
use crate::{WEEK, bounded, name, rooms, user};

/// The senders, with their pace.
struct Senders(Throttle<String>);

/// Adds the private messages to a hub.
pub(crate) fn add(hub: Builder) -> Builder {
    hub.namespace("@", Namespace::open().history(History::new(500, WEEK)))
        .state(Senders(Throttle::new(Duration::from_millis(100), 50)))
        .call(SendDirect, send)
        .call(ReadDirect, read)
}

async fn send(context: CallContext, request: SendRequest) -> Result<SendResponse, CallError> {
    let from = user(&context)?;
    let SendRequest { id, to, text, image } = request;
    bounded("the id", &id, 1, 64)?;
    bounded("the text", &text, if image.is_some() { 0 } else { 1 }, 4_000)?;
    image.as_ref().map_or(Ok(()), rooms::check_reference)?;
    let inbox = inbox_of(&to)?;
    context.state::<Senders>()?.0.check(&*from, "these are many messages: wait a moment")?;
    let key = format!("{from}/{id}");
    let name = name(&context);
    let message = DirectMessage::Text { id, from: (*from).into(), name, to: to.clone(), text, image };
    put(context.hub(), &inbox, &message, &key).await?;
    if *from != *to {
        put(context.hub(), &inbox_of(&from)?, &message, &key).await?;
    }
    Ok(SendResponse { online: context.hub().local_subscribers(inbox.name()) > 0 })
}

async fn read(context: CallContext, request: ReadRequest) -> Result<Nothing, CallError> {
    let reader = user(&context)?;
    let ReadRequest { from, id } = request;
    bounded("the id", &id, 1, 64)?;
    let (own, other) = (inbox_of(&reader)?, inbox_of(&from)?);
    context.state::<Senders>()?.0.check(&*reader, "these are many marks: wait a moment")?;
    let key = format!("{reader}/read/{id}");
    put(context.hub(), &own, &DirectMessage::Read { from: from.clone(), id: id.clone() }, &key).await?;
    if *reader != *from {
        put(context.hub(), &other, &DirectMessage::Seen { by: (*reader).into(), id }, &key).await?;
    }
    Ok(Nothing {})
}

/// Publishes once, also if the page repeats the call. Returns when it is stored.
async fn put(hub: &Hub, inbox: &Direct, message: &DirectMessage, key: &str) -> Result<(), CallError> {
    let payload = message.to_payload().map_err(CallError::internal)?;
    let stored = hub.publish_once(inbox.name(), payload, key).map_err(CallError::internal)?;
    stored.await.map_err(CallError::internal)?;
    Ok(())
}

/// The channel of a user. The ids of this server's users are known by their form alone.
fn inbox_of(user: &str) -> Result<Direct, CallError> {
    let is_id = user.len() == 32 && user.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let inbox = Direct::new(user).ok().filter(|_| is_id);
    let words = "there is no such user: take the id from a list of members";
    inbox.ok_or_else(|| CallError::application::<{ codes::NO_SUCH_USER }>(words))
}

/// Returns an error if this can't be the id of a user.
pub(crate) fn check_user(id: &str) -> Result<(), CallError> {
    inbox_of(id).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_ids_of_one_form() {
        assert!(check_user("0123456789abcdef0123456789abcdef").is_ok());
        for other in
            ["", "ann", "all", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde:"]
        {
            assert!(check_user(other).is_err(), "{other}");
        }
    }
}
