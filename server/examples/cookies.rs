//! A server for pages with signed-in users. A cookie authenticates the client, the session keeps the user's account, and the
//! server itself is a subscriber of a room.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stderr,
    reason = "a program in one file, without a log"
)]

use std::collections::HashMap;
use std::error::Error;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;
use wirehub_server::auth::{Authenticated, Refusal};
use wirehub_server::call::CallError;
use wirehub_server::common::code::ErrorCode;
use wirehub_server::observe::{LocalSubscription, LocalUpdate};
use wirehub_server::{Hub, Listener, router, run, shutdown_signal};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Line {
    pub text: String,
}

wirehub_common::contract! {
    pub contract Chat = "chat";
    /// A chat room.
    channel Room { room } = "chat:{room}": Line;
    /// The plan that the caller pays for.
    call Plan = "account.plan": fn(()) -> String;
}

/// The account of a user, from the application's database.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) plan: String,
}

/// The accounts of signed-in users, by the value of their cookie `sid`. A real application has a database.
pub(crate) struct SignedIn(pub(crate) HashMap<String, Account>);

pub(crate) fn hub(signed_in: SignedIn) -> Hub {
    Hub::builder()
        .contract::<Chat>()
        .state(signed_in)
        .authenticate(async |credentials| {
            let signed_in = credentials.state::<SignedIn>()?;
            let id = credentials.cookie("sid").ok_or_else(Refusal::invalid)?;
            let account = signed_in.0.get(id).ok_or_else(Refusal::invalid)?;
            Ok(Authenticated::user(account.user.as_str()).with_state(account.clone()))
        })
        .call(Plan, async |context, ()| {
            let account = context.session_state::<Account>();
            let account = account.ok_or_else(|| CallError::from_code(ErrorCode::PERMISSION_DENIED))?;
            Ok(account.plan.clone())
        })
        .build()
}

/// Answers `/help` in a room. Ends when the hub stops.
pub(crate) async fn answer_help(hub: Hub, room: Room, mut lines: LocalSubscription<Line>) {
    while let Some(update) = lines.next().await {
        match update {
            Ok(LocalUpdate::Publication(line)) if line.message.text == "/help" => {
                let answer = Line { text: "write a line, and everybody in the room reads it".into() };
                if let Err(error) = hub.publish(&room, &answer) {
                    eprintln!("no answer: {error}");
                }
            }
            Ok(LocalUpdate::Gap) => eprintln!("too slow: some lines are missing"),
            Ok(_) => {}
            Err(error) => eprintln!("a line does not fit the contract: {error}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ann = Account { user: "ann".into(), plan: "free".into() };
    let hub = hub(SignedIn([("42".into(), ann)].into()));
    let lobby = Room::new("lobby")?;
    let lines = hub.subscribe(&lobby);
    tokio::spawn(answer_help(hub.clone(), lobby, lines));
    let listener = Listener::bind(&"127.0.0.1:8080".parse()?).await?;
    run(listener, hub.clone(), router(&hub), shutdown_signal()).await;
    Ok(())
}
