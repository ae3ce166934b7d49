//! Rooms and what belongs to them: rules of namespaces, and checks of what people publish.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use wirehub_common::contract::Message;
use wirehub_demo_contract::{
    ChatRoom, Cursor, Drawing, Image, ImageReference, LabMessage, Room, RoomInfo, RoomList, RoomMessage,
    RoomsResponse, Typing,
};
use wirehub_server::auth::PublishRequest;
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::common::Payload;
use wirehub_server::namespace::{Access, History, Namespace, Overflow};
use wirehub_server::{Builder, Hub, Pattern};

use crate::{WEEK, bounded, is_running, name, out_of_bounds};

/// The time for which somebody who reloads a page stays in the room.
const GRACE: Duration = Duration::from_secs(3);

/// Adds the rooms, images, cursors and drawings to a hub.
pub(crate) fn add(hub: Builder) -> Builder {
    let of_people = || Namespace::open().publish(Access::Users);
    let with_members = |rules: Namespace| rules.presence(Access::Everybody).join_leave(GRACE);
    let of_server = || Namespace::open().publish(Access::TokenOnly);
    let images = History::new(200, WEEK).with_bytes(64 * 1024 * 1024);
    let drawings = History::new(5_000, WEEK).with_bytes(16 * 1024 * 1024);
    hub.namespace("chat", Namespace::default().history(History::new(100, Duration::from_secs(3600))))
        .namespace("people", with_members(of_server()))
        .namespace("rooms", of_server().history(History::new(1, WEEK)))
        .namespace("room", with_members(of_people()).history(History::new(1_000, WEEK)))
        .namespace("typing", of_people().overflow(Overflow::DropOldest))
        .namespace("images", of_people().history(images))
        .namespace("cursors", with_members(of_people()).overflow(Overflow::DropOldest))
        .namespace("drawings", of_people().history(drawings))
        .authorize_publish(pattern("room:*"), async |who, request| checked::<RoomMessage>(&who, &request))
        .authorize_publish(pattern("typing:*"), async |who, request| checked::<Typing>(&who, &request))
        .authorize_publish(pattern("cursors:*"), async |who, request| checked::<Cursor>(&who, &request))
        .authorize_publish(pattern("drawings:*"), async |who, request| checked::<Drawing>(&who, &request))
        .authorize_publish(pattern("lab:*"), async |who, request| checked::<LabMessage>(&who, &request))
        .authorize_publish(pattern("images:*"), async |_, request| image(request.payload))
}

/// A pattern of this program itself.
fn pattern(text: &str) -> Pattern {
    #[allow(clippy::expect_used, reason = "the text is a constant, and a test builds the hub")]
    text.parse().expect("a valid pattern")
}

/// A message that people publish.
trait FromPeople: Message {
    /// Puts the sender's true name into it.
    fn sign(&mut self, _name: String) {}

    fn check(&self) -> Result<(), CallError>;
}

/// The message with the sender's true name, if it is within its bounds.
fn checked<M: FromPeople>(who: &CallContext, request: &PublishRequest) -> Result<Payload, CallError> {
    let mut message = M::from_payload(&request.payload).map_err(|error| out_of_bounds(error.to_string()))?;
    message.check()?;
    message.sign(name(who));
    message.to_payload().map_err(CallError::internal)
}

fn image(payload: Payload) -> Result<Payload, CallError> {
    let image = Image::from_payload(&payload).map_err(|error| out_of_bounds(error.to_string()))?;
    image.head.check(image.bytes.len()).map_err(|error| out_of_bounds(error.to_string()))?;
    // Unknown fields are passed over, whatever their size.
    if payload.attachment_parts().is_none_or(|(head, _)| head.len() > IMAGE_HEAD) {
        return Err(out_of_bounds("the description of the image is too long: send its own fields only"));
    }
    // As it came: there is nothing of the sender's to correct, and nothing is copied.
    Ok(payload)
}

const TEXT: usize = 4_000;
/// The maximum size of an image's description in bytes: the longest name of a file, with each character escaped, fits.
const IMAGE_HEAD: usize = 4 * 1024;
const ID: usize = 64;

impl FromPeople for RoomMessage {
    fn sign(&mut self, true_name: String) {
        match self {
            Self::Text { name, .. } | Self::Image { name, .. } | Self::Reaction { name, .. } => {
                *name = true_name;
            }
            Self::Seen { .. } => {}
        }
    }

    fn check(&self) -> Result<(), CallError> {
        match self {
            Self::Text { id, text, reply, .. } => {
                bounded("the text", text, 1, TEXT)?;
                bounded("the answered id", reply.as_deref().unwrap_or("-"), 1, ID)?;
                bounded("the id", id, 1, ID)
            }
            Self::Image { id, text, image, .. } => {
                bounded("the text", text, 0, TEXT)?;
                check_reference(image)?;
                bounded("the id", id, 1, ID)
            }
            Self::Reaction { to, emoji, .. } => {
                if emoji.is_empty() || emoji.len() > 16 {
                    return Err(out_of_bounds("the reaction is no emoji: use one, of up to 16 bytes"));
                }
                bounded("the id", to, 1, ID)
            }
            Self::Seen { id } => bounded("the id", id, 1, ID),
        }
    }
}

pub(crate) fn check_reference(image: &ImageReference) -> Result<(), CallError> {
    bounded("the room", &image.room, 1, 128)?;
    bounded("the epoch", &image.epoch, 1, 128)?;
    bounded("the name of the file", &image.file, 0, 200)
}

impl FromPeople for Typing {
    fn sign(&mut self, name: String) {
        self.name = name;
    }

    fn check(&self) -> Result<(), CallError> {
        Ok(())
    }
}

impl FromPeople for Cursor {
    fn sign(&mut self, name: String) {
        self.name = name;
    }

    fn check(&self) -> Result<(), CallError> {
        let is_fine = self.points.iter().all(|point| is_within(point.x) && is_within(point.y));
        if is_fine && self.points.len() <= 64 {
            return Ok(());
        }
        Err(out_of_bounds("a pointer has up to 64 points, each from 0 to 1: send it more often"))
    }
}

impl FromPeople for Drawing {
    fn check(&self) -> Result<(), CallError> {
        match self {
            Self::Stroke { id, color, width, points } => {
                let are_points = points.len() % 2 == 0 && (2..=2_000).contains(&points.len());
                let is_fine =
                    (1..=6).contains(color) && is_within(*width) && points.iter().all(|it| is_within(*it));
                if !are_points || !is_fine {
                    let words = "a stroke has up to 1,000 points, each from 0 to 1, and a colour from 1 to 6: send it in pieces";
                    return Err(out_of_bounds(words));
                }
                bounded("the id", id, 1, ID)
            }
            Self::Erase { id } => bounded("the id", id, 1, ID),
            Self::Clear {} => Ok(()),
        }
    }
}

impl FromPeople for LabMessage {
    fn check(&self) -> Result<(), CallError> {
        if self.sender.starts_with("server") {
            return Err(out_of_bounds(
                "names that begin with `server` are the server's own: use another sender",
            ));
        }
        bounded("the filler", &self.filler, 0, 64 * 1024)?;
        bounded("the sender", &self.sender, 1, ID)
    }
}

fn is_within(value: f64) -> bool {
    (-0.5..=1.5).contains(&value)
}

/// The rooms with members, in alphabetical order. A person with several tabs is one.
pub(crate) async fn list(hub: &Hub) -> Vec<RoomInfo> {
    let mut rooms: BTreeMap<String, u32> = BTreeMap::new();
    for (channel, sessions) in hub.local_channels() {
        let of_page = Room::parse(&channel).map(|room| room.room().to_owned());
        let Some(room) = of_page.or_else(|| Some(ChatRoom::parse(&channel)?.room().to_owned())) else {
            continue;
        };
        let users = hub.presence_counts(&channel).await.map_or(sessions, |counts| counts.users);
        let people = rooms.entry(room).or_default();
        *people = people.saturating_add(u32::try_from(users).unwrap_or(u32::MAX));
    }
    rooms.into_iter().map(|(name, people)| RoomInfo { name, people }).collect()
}

/// Publishes the list of rooms when it changes.
pub(crate) async fn publish_list(hub: Hub) {
    let mut clock = tokio::time::interval(Duration::from_millis(250));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    while is_running(&hub) {
        clock.tick().await;
        let rooms = RoomsResponse { rooms: list(&hub).await };
        if last.as_ref() == Some(&rooms) {
            continue;
        }
        match hub.publish(&RoomList::new(), &rooms) {
            Ok(published) => drop(published),
            Err(error) => tracing::warn!("the list of rooms is not published: {error}"),
        }
        last = Some(rooms);
    }
}

#[cfg(test)]
mod tests {
    use wirehub_demo_contract::{CursorPoint, ImageHead};

    use super::*;

    fn text(text: &str) -> RoomMessage {
        RoomMessage::Text { id: "1".into(), name: "forged".into(), text: text.into(), reply: None }
    }

    #[test]
    fn a_message_has_the_name_of_its_session() {
        let mut message = text("hi");
        message.sign("Ann".into());
        assert!(matches!(message, RoomMessage::Text { name, .. } if name == "Ann"));
    }

    #[test]
    fn texts_are_bounded_in_characters() {
        assert!(text(&"ü".repeat(TEXT)).check().is_ok());
        assert!(text("").check().is_err());
        assert!(text(&"x".repeat(TEXT + 1)).check().is_err());
        let reaction = |emoji: &str| RoomMessage::Reaction {
            to: "1".into(),
            name: String::new(),
            emoji: emoji.into(),
            on: true,
        };
        assert!(reaction("👍🏽").check().is_ok());
        assert!(reaction("").check().is_err());
        assert!(reaction("much more than an emoji").check().is_err());
    }

    #[test]
    fn nothing_is_drawn_far_outside_of_the_canvas() {
        let pointer = |x: f64| Cursor {
            name: String::new(),
            points: vec![CursorPoint { x, y: 0.0, after: 0 }],
            drawing: false,
        };
        assert!(pointer(1.0).check().is_ok());
        assert!(pointer(7.0).check().is_err());
        let stroke = |points| Drawing::Stroke { id: "1".into(), color: 1, width: 0.01, points };
        assert!(stroke(vec![0.0, 1.0]).check().is_ok());
        assert!(stroke(vec![0.0]).check().is_err(), "half a point");
        assert!(stroke(vec![0.0, f64::INFINITY]).check().is_err());
        assert!(stroke(vec![0.5; 2_002]).check().is_err());
    }

    #[test]
    fn only_images_are_published_as_images() {
        let head = ImageHead { media: "image/png".into(), file: "a.png".into(), width: 1, height: 1 };
        let png = Image::new(head, vec![1]).to_payload().unwrap();
        assert_eq!(image(png.clone()).unwrap(), png, "as it came");
        let empty = Payload::attachment(png.attachment_parts().unwrap().0, []);
        let long =
            format!(r#"{{"media":"image/png","file":"a","width":1,"height":1,"x":"{}"}}"#, "x".repeat(5000));
        let long = Payload::attachment(long, [1]);
        for other in
            [empty, long, Payload::attachment("{}", [1]), Payload::bytes(vec![1]), Payload::json("{}")]
        {
            assert!(image(other.clone()).is_err(), "{other:?}");
        }
    }

    #[test]
    fn nobody_speaks_for_the_server() {
        let said =
            |sender: &str| LabMessage { sender: sender.into(), number: 1, sent: 0.0, filler: String::new() };
        assert!(said("ann-1").check().is_ok());
        assert!(said("server-1").check().is_err());
        assert!(said("").check().is_err());
    }
}
