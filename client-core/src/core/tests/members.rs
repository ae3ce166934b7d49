//! Lists of members that keep themselves.

use super::*;

fn ann(session: &str) -> Member {
    Member { session: session.into(), user: "ann".into(), ..Member::default() }
}

fn nobody(session: &str) -> Member {
    Member { session: session.into(), ..Member::default() }
}

fn moved(member: Member, joined: bool) -> ServerFrame {
    let movement = Movement { channel: channel("c"), member };
    ServerFrame::Push(if joined { Push::Join(movement) } else { Push::Leave(movement) })
}

/// A client that watches the members of `c`; returns the command that reads them.
fn watching() -> (Client, SubscriptionId, u32) {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    client.core.watch_members(client.now, subscription);
    client.core.watch_members(client.now, subscription);
    let sent = client.sent();
    let [Command { id, request: Request::Subscribe(_) }] = &sent[..] else { panic!("{sent:?}") };
    client.reply(*id, Ok(ReplyBody::Subscribed(subscribed("c", *id))));
    let (command, after) = client.question().unwrap();
    assert_eq!(after, "");
    client.events();
    (client, subscription, command)
}

impl Client {
    /// The question for the members that the client sends, and where it begins.
    fn question(&mut self) -> Option<(u32, String)> {
        let sent = self.sent();
        match &sent[..] {
            [Command { id, request: Request::Presence(presence) }] => Some((*id, presence.after.clone())),
            [] => None,
            _ => panic!("{sent:?}"),
        }
    }

    fn list(&mut self, command: u32, members: &[Member], more: bool) {
        let list = PresenceList { members: members.to_vec(), more, ..PresenceList::default() };
        self.reply(command, Ok(ReplyBody::Presence(list)));
    }

    /// The number of reported changes.
    fn changes(&mut self) -> usize {
        let events = self.events().into_iter();
        events.filter(|event| matches!(event, Event::Members { error: None, .. })).count()
    }

    fn there(&self, subscription: SubscriptionId) -> Vec<&str> {
        let members = self.core.members(subscription).unwrap();
        members
            .iter()
            .map(|member| if member.user.is_empty() { &member.session } else { &*member.user })
            .collect()
    }
}

#[test]
fn a_list_has_each_user_once_and_each_anonymous_session() {
    let (mut client, subscription, command) = watching();
    assert!(client.core.members(subscription).is_none());
    client.list(command, &[nobody("2"), ann("3"), nobody("1"), ann("4")], false);
    assert_eq!(client.changes(), 1);
    assert_eq!(client.there(subscription), ["ann", "1", "2"]);
    client.receive([moved(nobody("0"), true), moved(ann("5"), true), moved(nobody("1"), false)]);
    assert_eq!(client.changes(), 2);
    assert_eq!(client.there(subscription), ["ann", "0", "2"], "ann was there");
    client.receive([moved(ann("4"), false), moved(nobody("9"), false)]);
    assert_eq!(client.changes(), 1);
    assert_eq!(client.there(subscription), ["0", "2"]);
    let info = Member { info: "1".into(), ..nobody("2") };
    client.receive([moved(info.clone(), true)]);
    assert_eq!((client.changes(), &*client.core.members(subscription).unwrap()[1]), (1, &info));
    client.core.unsubscribe(subscription);
    assert!(client.core.members(subscription).is_none());
}

#[test]
fn a_list_is_read_page_by_page_and_changes_meanwhile_count() {
    let (mut client, subscription, command) = watching();
    client.list(command, &[ann("1"), nobody("2")], true);
    let (next, after) = client.question().unwrap();
    assert_eq!(after, "2");
    // 2 was on the page before, 4 is on the next one; 5 came and went.
    client.receive([
        moved(nobody("2"), false),
        moved(nobody("4"), true),
        moved(nobody("5"), true),
        moved(nobody("5"), false),
        moved(nobody("6"), true),
    ]);
    assert_eq!(client.changes(), 0, "there is no list yet");
    client.list(next, &[nobody("4"), nobody("5")], false);
    assert_eq!(client.changes(), 1);
    assert_eq!(client.there(subscription), ["ann", "4", "6"]);
    assert!(client.question().is_none());
}

#[test]
fn a_list_is_read_again_after_a_reconnect_and_when_changes_were_lost() {
    let (mut client, subscription, command) = watching();
    client.list(command, &[ann("1")], false);
    client.receive([moved(Member::default(), false)]);
    let (command, _) = client.question().unwrap();
    client.receive([moved(nobody("2"), true), moved(Member::default(), false)]);
    assert_eq!(client.there(subscription), ["ann", "2"], "it is kept meanwhile");
    assert!(client.question().is_none(), "one question at a time");
    client.list(command, &[nobody("3")], false);
    assert_eq!(client.there(subscription), ["2", "3"]);
    client.wait();
    let (command, _) = client.question().expect("the list may have been made before the loss");
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.there(subscription), ["2", "3"]);
    client.wait();
    client.establish();
    let (again, _) = client.question().unwrap();
    client.list(command, &[nobody("8")], false);
    client.list(again, &[nobody("9")], false);
    assert_eq!(client.there(subscription), ["9"]);
    assert!(client.question().is_none());
}

#[test]
fn a_list_that_is_refused_is_reported_and_one_that_fails_for_now_is_read_later() {
    let (mut client, subscription, command) = watching();
    client.reply(command, Err(ErrorInfo::from_code(ErrorCode::UNAVAILABLE)));
    assert!(client.question().is_none() && client.events().is_empty());
    let waited = client.wait();
    assert!((500..=5500).contains(&waited.as_millis()), "{waited:?}");
    let (command, _) = client.question().unwrap();
    client.reply(command, Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)));
    let events = client.events();
    let [Event::Members { subscription: of, error: Some(error) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*of, error.code()), (subscription, ErrorCode::PERMISSION_DENIED));
    assert!(client.core.members(subscription).is_none());
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.establish();
    assert!(client.question().is_some());
}

#[test]
fn a_list_of_a_client_that_is_away_sets_no_timer() {
    let mut client = Client::new();
    let subscription = client.subscribe("c");
    client.core.watch_members(client.now, subscription);
    assert_eq!(client.core.poll_timeout(), None);
    client.core.connect(client.now);
    client.establish();
    assert!(client.question().is_some());
}
