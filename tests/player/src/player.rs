//! The interpreter of orders.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_channel::{mpsc, oneshot};
use futures_util::stream::{self, LocalBoxStream, SelectAll};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, select};
use wirehub_client_core::{Client, Config, Error, Overflow, Subscription};
use wirehub_common::code::CloseCode;
use wirehub_common::contract::{Attachment, Message as _};
use wirehub_common::{ChannelName, Payload};

use crate::lines;
use crate::order::{Begin, Order};

/// The answer of a token provider.
pub type TokenAnswer = Pin<Box<dyn Future<Output = Result<String, Error>> + Send>>;

/// Makes a client of the driver under test for an address, perhaps with a token provider.
pub type MakeClient = fn(&str, Config, Option<Box<dyn Fn() -> TokenAnswer + Send>>) -> Client;

/// Plays one scenario: carries out the stage's orders, and sends a line for each event. Returns the stage's verdict:
/// the difference from the table, or nothing.
pub async fn play<S>(mut stage: S, make_client: MakeClient) -> String
where
    S: Stream<Item = String> + Sink<String, Error: Debug> + Unpin,
{
    let mut player: Option<Player> = None;
    // Never empty: an ended stream would end the waiting.
    let mut lines: SelectAll<LocalBoxStream<'static, String>> = SelectAll::new();
    lines.push(stream::pending().boxed_local());
    loop {
        let mut order = stage.by_ref().fuse();
        let order = select! {
            order = order.next() => order.unwrap(),
            line = lines.select_next_some() => {
                stage.send(line).await.unwrap();
                continue;
            }
        };
        match serde_json::from_str(&order).unwrap() {
            Order::End { failure } => return failure,
            Order::Begin(begin) => {
                let (begun, events) = Player::begin(&begin, make_client);
                player = Some(begun);
                lines.push(events);
            }
            order => lines.extend(player.as_mut().unwrap().obey(order)),
        }
    }
}

struct Player {
    client: Client,
    /// The subscriptions, by channel.
    subscriptions: HashMap<String, Rc<RefCell<Subscription<Payload>>>>,
    /// The open question to the token provider.
    question: Arc<Mutex<Option<oneshot::Sender<Option<String>>>>>,
}

impl Player {
    fn begin(begin: &Begin, make_client: MakeClient) -> (Self, LocalBoxStream<'static, String>) {
        let mut config = Config::default().overflow(match begin.overflow.as_str() {
            "drop-oldest" => Overflow::DropOldest,
            "latest" => Overflow::Latest,
            _ => Overflow::Error,
        });
        if let Some(bytes) = begin.queue {
            config = config.receive_queue(bytes);
        }
        let question = Arc::new(Mutex::new(None));
        let (asked, questions) = mpsc::channel(16);
        let client = match &begin.token {
            Some(token) => make_client(&begin.url, config.token(token), None),
            None => {
                let open = Arc::clone(&question);
                let provider = move || -> TokenAnswer {
                    let (answer, answered) = oneshot::channel();
                    *open.lock().unwrap() = Some(answer);
                    asked.clone().try_send("tokens: asked".to_owned()).unwrap();
                    Box::pin(async move { answered.await.ok().flatten().ok_or_else(Error::signed_out) })
                };
                make_client(&begin.url, config, Some(Box::new(provider)))
            }
        };
        let states = client.state_changes().map(|change| lines::state(&change));
        let events = stream::select(states, questions).boxed_local();
        (Self { client, subscriptions: HashMap::new(), question }, events)
    }

    /// Carries out an order. Returns its events.
    fn obey(&mut self, order: Order) -> Option<LocalBoxStream<'static, String>> {
        let client = self.client.clone();
        let answer =
            match order {
                Order::Connect => stream::once(async move {
                    lines::result("connect", client.connect().await, |()| "done".into())
                })
                .boxed_local(),
                Order::Publish { channel, text } => {
                    self.publish(&channel, Payload::json(serde_json::to_string(&text).unwrap()))
                }
                Order::PublishBytes { channel, bytes } => self.publish(&channel, Payload::bytes(bytes)),
                Order::PublishAttachment { channel, head, bytes } => {
                    self.publish(&channel, Attachment::new(head, bytes).to_payload().unwrap())
                }
                Order::Call { name, text } => {
                    let request = Payload::json(serde_json::to_string(&text).unwrap());
                    stream::once(async move {
                        let response = client.call_raw(&name, request).await;
                        lines::result("call", response, |response| lines::text(&response))
                    })
                    .boxed_local()
                }
                Order::Subscribe { channel, unread } => {
                    let name = ChannelName::new(&channel).unwrap();
                    let subscription = Rc::new(RefCell::new(client.subscribe_raw(name).unwrap()));
                    self.subscriptions.insert(channel.clone(), Rc::clone(&subscription));
                    if unread {
                        ready(&subscription, &channel)
                    } else {
                        ready(&subscription, &channel).chain(read(&subscription, &channel)).boxed_local()
                    }
                }
                Order::Read { channel } => read(self.subscriptions.get(&channel).unwrap(), &channel),
                Order::Unsubscribe { channel } => {
                    self.subscriptions.get(&channel).unwrap().borrow_mut().unsubscribe();
                    return None;
                }
                Order::Token { token } => {
                    let question = self.question.lock().unwrap().take();
                    // The client may have given up the question.
                    let _ = question.unwrap().send(token);
                    return None;
                }
                Order::Close { code, reason } => {
                    client.close(CloseCode::new(code).unwrap(), &reason);
                    return None;
                }
                Order::Begin(_) | Order::End { .. } => panic!("not an order to a client: {order:?}"),
            };
        Some(answer)
    }

    fn publish(&self, channel: &str, payload: Payload) -> LocalBoxStream<'static, String> {
        let (client, channel) = (self.client.clone(), ChannelName::new(channel).unwrap());
        stream::once(async move {
            lines::result("publish", client.publish_raw(channel, payload).await, |_| "done".into())
        })
        .boxed_local()
    }
}

/// A line as soon as the subscription is active; none if it never is.
fn ready(
    subscription: &Rc<RefCell<Subscription<Payload>>>,
    channel: &str,
) -> LocalBoxStream<'static, String> {
    let (subscription, channel) = (Rc::clone(subscription), channel.to_owned());
    let ready = async move {
        let ready = poll_fn(|context| {
            let mut subscription = subscription.borrow_mut();
            let ready = std::pin::pin!(subscription.ready());
            ready.poll(context)
        });
        ready.await.ok().map(|()| format!("{channel}: subscribed"))
    };
    stream::once(ready).filter_map(std::future::ready).boxed_local()
}

/// A line for each item, up to the end.
fn read(subscription: &Rc<RefCell<Subscription<Payload>>>, channel: &str) -> LocalBoxStream<'static, String> {
    let (subscription, channel) = (Rc::clone(subscription), channel.to_owned());
    let mut ended = false;
    stream::poll_fn(move |context| {
        if ended {
            return Poll::Ready(None);
        }
        // The borrow ends before anything is reported.
        let item = subscription.borrow_mut().poll_next_unpin(context);
        item.map(|item| {
            ended = matches!(item, None | Some(Err(_)));
            Some(lines::item(&channel, item))
        })
    })
    .boxed_local()
}
