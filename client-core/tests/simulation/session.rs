//! The server's queue for one client. It goes out in lanes, in parts, and from history at the speed of the line.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use wirehub_common::frame::{Publication, Push, ServerFrame};
use wirehub_common::{Assembler, ChannelName, Codec, Limits};

use crate::random::Random;
use crate::tokens::Token;

/// How many bytes may wait for a session.
pub(crate) const QUEUE: usize = 256 * 1024;

/// History is read when less than this waits, until this much waits.
const PAGE: usize = 32 * 1024;

/// The policy for a publication without room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    Disconnect,
    DropOldest,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) greeted: bool,
    /// The user.
    pub(crate) user: String,
    /// The last token, if the server checks tokens.
    pub(crate) token: Option<Token>,
    /// Whether it has been notified that its token is about to expire.
    pub(crate) is_warned: bool,
    pub(crate) subscriptions: BTreeMap<ChannelName, Subscription>,
    /// The client's commands that arrive in parts.
    pub(crate) incoming: Assembler,
    control: Lane,
    normal: Lane,
    /// Whether it has to end because it is too slow.
    pub(crate) is_over: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription {
    pub(crate) number: u32,
    /// The offset of the next publication to read from history; `None` if it is live.
    pub(crate) next: Option<u64>,
}

#[derive(Debug)]
struct Lane {
    stream: u32,
    frames: VecDeque<Queued>,
    bytes: usize,
    /// The rest of a frame that goes out in parts.
    rest: Bytes,
}

#[derive(Debug)]
struct Queued {
    frame: Bytes,
    /// The channel and number of the publication's subscription.
    droppable: Option<(ChannelName, u32)>,
}

impl Lane {
    fn new(stream: u32) -> Self {
        Self { stream, frames: VecDeque::new(), bytes: 0, rest: Bytes::new() }
    }

    fn push(&mut self, frame: Bytes, droppable: Option<(ChannelName, u32)>) {
        self.bytes += frame.len();
        self.frames.push_back(Queued { frame, droppable });
    }

    /// The next message of this lane, behind the frames already in `batch`.
    fn next(&mut self, mut batch: BytesMut, random: &mut Random) -> BytesMut {
        if !self.rest.is_empty() {
            return if batch.is_empty() { self.part() } else { batch };
        }
        while let Some(Queued { frame, .. }) = self.frames.front() {
            if frame.len() > Limits::BATCH_BYTES {
                if batch.is_empty() {
                    self.rest = Codec::Protobuf.undelimited(frame);
                    self.bytes -= frame.len();
                    self.frames.pop_front();
                    return self.part();
                }
                break;
            }
            if frame.len() + batch.len() > Limits::BATCH_BYTES || !batch.is_empty() && random.one_in(3) {
                break;
            }
            batch.extend_from_slice(frame);
            self.bytes -= frame.len();
            self.frames.pop_front();
        }
        batch
    }

    fn part(&mut self) -> BytesMut {
        let (head, data) = Codec::Protobuf.cut_part(self.stream, &mut self.rest, Limits::BATCH_BYTES);
        let mut part = BytesMut::from(head);
        part.extend_from_slice(&data);
        part
    }
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            greeted: false,
            user: String::new(),
            token: None,
            is_warned: false,
            subscriptions: BTreeMap::new(),
            incoming: Assembler::new(),
            control: Lane::new(0),
            normal: Lane::new(2),
            is_over: false,
        }
    }

    pub(crate) fn reply(&mut self, frame: &ServerFrame) {
        self.control.push(Codec::Protobuf.encode_frame(frame), None);
    }

    /// Queues a frame in order with the channels' publications.
    pub(crate) fn in_line(&mut self, frame: &ServerFrame) {
        self.normal.push(Codec::Protobuf.encode_frame(frame), None);
    }

    /// Queues a publication, and makes room for it within the policy. `marker` takes the place of dropped publications
    /// without offsets.
    pub(crate) fn publish(
        &mut self,
        publication: &Publication,
        overflow: Overflow,
        marker: impl Fn(&ChannelName, u32) -> Option<ServerFrame>,
    ) {
        let frame = encode(publication);
        while self.waiting() + frame.len() > QUEUE {
            if overflow == Overflow::Disconnect {
                self.is_over = true;
                return;
            }
            let frames = &mut self.normal.frames;
            let Some(index) = frames.iter().position(|queued| queued.droppable.is_some()) else { break };
            let dropped = frames.remove(index).unwrap();
            self.normal.bytes -= dropped.frame.len();
            let (channel, number) = dropped.droppable.unwrap();
            if let Some(marker) = marker(&channel, number) {
                let frame = Codec::Protobuf.encode_frame(&marker);
                // One marker stands for a row of dropped publications.
                let is_said = index > 0 && frames[index - 1].frame == frame;
                if !is_said {
                    self.normal.bytes += frame.len();
                    frames.insert(index, Queued { frame, droppable: None });
                }
            }
        }
        let number = self.subscriptions[&publication.channel].number;
        self.normal.push(frame, Some((publication.channel.clone(), number)));
    }

    fn waiting(&self) -> usize {
        self.normal.bytes + self.normal.rest.len()
    }

    /// Whether there is room for publications from history.
    pub(crate) fn wants_page(&self) -> bool {
        self.waiting() < PAGE
    }

    /// Queues a publication from history.
    pub(crate) fn recover(&mut self, publication: &Publication, number: u32) {
        self.normal.push(encode(publication), Some((publication.channel.clone(), number)));
    }

    /// The next WebSocket message, if there is anything to send.
    pub(crate) fn next_message(&mut self, random: &mut Random) -> Option<Bytes> {
        let batch = self.control.next(BytesMut::new(), random);
        // A large frame of the control lane gives way only to small ones; here, to none.
        let is_part = !self.control.rest.is_empty();
        let batch = if is_part { batch } else { self.normal.next(batch, random) };
        (!batch.is_empty()).then(|| batch.freeze())
    }
}

fn encode(publication: &Publication) -> Bytes {
    Codec::Protobuf.encode_frame(&ServerFrame::Push(Push::Publication(publication.clone())))
}
