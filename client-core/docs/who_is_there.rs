
use futures_util::StreamExt as _;
use wirehub_client_core::{Error, Subscription};
use wirehub_common::frame::Member;

/// Shows the members: each user once, and each anonymous session.
async fn watch<M>(room: &Subscription<M>, mut show: impl FnMut(&[Member])) -> Result<(), Error> {
    let mut members = room.members();
    while let Some(there) = members.next().await {
        show(&there?);
    }
    Ok(())
}
