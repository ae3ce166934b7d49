use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use wirehub_client_core::{Client, Error, MemberChange, Subscription};
use wirehub_common::frame::Member;

/// Keeps a list of the members: each user once, and each anonymous session.
async fn watch<M>(
    client: &Client,
    room: &Subscription<M>,
    mut show: impl FnMut(&BTreeMap<String, Member>),
) -> Result<(), Error> {
    let who = |member: &Member| {
        if member.user.is_empty() { member.session.clone() } else { member.user.clone() }
    };
    let mut changes = room.member_changes();
    loop {
        let members = client.presence(room.channel().clone()).await?;
        let mut there: BTreeMap<_, _> =
            members.into_iter().map(|member| (who(&member), member)).collect();
        loop {
            show(&there);
            match changes.next().await {
                Some(MemberChange::Joined(member)) => drop(there.insert(who(&member), member)),
                Some(MemberChange::Left(member)) => drop(there.remove(&who(&member))),
                // Changes may be missing: read the members again.
                Some(_) => break,
                None => return Ok(()),
            }
        }
    }
}
