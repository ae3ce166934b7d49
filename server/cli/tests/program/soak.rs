//! Fifty people in one room for a minute, over lines that break, with a server that restarts. Nothing is lost and nothing is doubled:
//! each message has its sender's next number, and each receiver counts for itself, without a look at what its client says.
//!
//! `cargo xtask test soak` runs it. `WIREHUB_SOAK_SECONDS` is the time of the cuts (60).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use wirehub_client::{Client, Subscription, Update};
use wirehub_demo_contract::{Lab, LabMessage, Nothing, Restart};
use wirehub_test_redis::Line;

use crate::demo::{DemoServer, client_at};
use crate::support::in_time;

const PEOPLE: usize = 50;

/// The people share these lines, so that a cut concerns some of them.
const LINES: usize = 5;

/// The time between two messages of one person.
const PACE: Duration = Duration::from_millis(500);

/// The time in which everything arrives after the last cut.
const SETTLING: Duration = Duration::from_secs(60);

/// The count of one receiver.
#[derive(Debug, Default)]
struct Count {
    /// The last number of each sender.
    last: BTreeMap<String, u32>,
    received: u64,
    wrong: Vec<String>,
}

impl Count {
    fn add(&mut self, LabMessage { sender, number, .. }: LabMessage) {
        self.received += 1;
        let last = self.last.entry(sender).or_default();
        if number != *last + 1 {
            self.wrong.push(format!("{number} after {last}"));
        }
        *last = number.max(*last);
    }

    fn has(&self, sent: &BTreeMap<String, u32>) -> bool {
        sent.iter().all(|(sender, number)| self.last.get(sender) == Some(number))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes more than a minute: run `cargo xtask test soak`"]
async fn fifty_people_lose_and_double_nothing_while_lines_break_and_the_server_restarts() {
    let seconds =
        std::env::var("WIREHUB_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let server = DemoServer::start();
    let mut lines = Vec::new();
    for _ in 0..LINES {
        lines.push(Arc::new(Line::to(server.address).await));
    }
    let run = Lab::new("soak").unwrap();
    let mut people = Vec::new();
    for person in 0..PEOPLE {
        // A key of its own for each.
        let key = char::from(b'A' + u8::try_from(person).unwrap()).to_string();
        let token = server.session(&key, &format!("Person {person}")).await.token;
        let client = client_at(lines[person % LINES].address(), token);
        in_time(client.connect()).await.unwrap();
        let mut heard = client.subscribe(&run).unwrap();
        in_time(heard.ready()).await.unwrap();
        people.push((client, heard));
    }

    // Everybody is there before the first message.
    let over = Arc::new(AtomicBool::new(false));
    let repeats = Arc::new(AtomicU32::new(0));
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    let (told, sent) = tokio::sync::watch::channel(None);
    for (person, (client, heard)) in people.into_iter().enumerate() {
        receivers.push(tokio::spawn(count(heard, sent.clone())));
        senders.push(tokio::spawn(send(
            client,
            run.clone(),
            format!("person-{person}"),
            (Arc::clone(&over), Arc::clone(&repeats)),
        )));
    }

    let operator = client_at(server.address, server.session("z", "Operator").await.token);
    in_time(operator.connect()).await.unwrap();
    let begun = Instant::now();
    let time = Duration::from_secs(seconds);
    let (mut cuts, mut restarts) = (0, 0);
    while begun.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(400)).await;
        lines[cuts % LINES].cut();
        cuts += 1;
        // Twice or three times.
        let due = u32::try_from(begun.elapsed().as_secs() * 3 / seconds.max(1)).unwrap();
        if due > restarts && in_time(operator.call::<Restart>(&Nothing {})).await.is_ok() {
            restarts = due;
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut all = BTreeMap::new();
    let mut kept = Vec::new();
    for sender in senders {
        let (client, name, number) = tokio::time::timeout(SETTLING, sender).await.unwrap().unwrap();
        all.insert(name, number);
        // Its subscription lives as long as its client.
        kept.push(client);
    }
    let messages: u64 = all.values().map(|number| u64::from(*number)).sum();
    told.send(Some(all.clone())).unwrap();

    let mut received = 0;
    for (person, receiver) in receivers.into_iter().enumerate() {
        let count = tokio::time::timeout(SETTLING, receiver).await.unwrap().unwrap();
        assert_eq!(count.wrong, Vec::<String>::new(), "person {person}");
        assert!(count.has(&all), "person {person} has {:?} of {all:?}", count.last);
        assert_eq!(count.received, messages, "person {person}");
        received += count.received;
    }
    assert!(restarts >= 2 || seconds < 30, "the server restarted {restarts} times");
    println!(
        "{messages} messages of {PEOPLE} people, {received} deliveries, {cuts} cuts, {restarts} restarts, {} repeated publishes: \
         nothing lost, nothing doubled",
        repeats.load(Ordering::Relaxed)
    );
}

/// Sends numbered messages until the end. A publish without an answer is repeated with the same key.
async fn send(
    client: Client,
    run: Lab,
    name: String,
    (over, repeats): (Arc<AtomicBool>, Arc<AtomicU32>),
) -> (Client, String, u32) {
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(PACE).await;
        number += 1;
        let message = LabMessage { sender: name.clone(), number, sent: 0.0, filler: String::new() };
        while let Err(error) = client.publish_with_key(&run, &message, &format!("{name}/{number}")).await {
            assert!(error.is_temporary(), "{name}/{number}: {error}");
            repeats.fetch_add(1, Ordering::Relaxed);
        }
    }
    (client, name, number)
}

/// Counts until everything that was sent is there, and a little longer for what comes twice.
async fn count(
    mut heard: Subscription<LabMessage>,
    mut sent: tokio::sync::watch::Receiver<Option<BTreeMap<String, u32>>>,
) -> Count {
    let mut count = Count::default();
    let mut is_told = false;
    loop {
        let is_complete = sent.borrow().as_ref().is_some_and(|sent| count.has(sent));
        let update = tokio::select! {
            changed = sent.changed(), if !is_told => {
                is_told = changed.is_ok();
                continue;
            }
            () = tokio::time::sleep(Duration::from_secs(2)), if is_complete => return count,
            update = heard.next() => update,
        };
        match update {
            Some(Ok(Update::Publication(publication))) => count.add(publication.message),
            Some(Ok(other)) => count.wrong.push(format!("a gap: {:?}", other.gap())),
            Some(Err(error)) => count.wrong.push(error.to_string()),
            None => {
                count.wrong.push("the subscription has ended".into());
                return count;
            }
        }
    }
}

#[test]
fn the_checker_finds_what_is_lost_and_what_comes_twice() {
    let message =
        |sender: &str, number| LabMessage { sender: sender.into(), number, sent: 0.0, filler: String::new() };
    let count = |numbers: &[u32]| {
        let mut count = Count::default();
        numbers.iter().for_each(|number| count.add(message("ann", *number)));
        count
    };
    assert!(count(&[1, 2, 3]).wrong.is_empty());
    assert_eq!(count(&[1, 3]).wrong, ["3 after 1"], "lost");
    assert_eq!(count(&[1, 2, 2]).wrong, ["2 after 2"], "doubled");
    assert_eq!(count(&[1, 3, 2]).wrong, ["3 after 1", "2 after 3"], "in another order");
    let sent = BTreeMap::from([("ann".to_owned(), 2)]);
    assert!(count(&[1, 2]).has(&sent) && !count(&[1]).has(&sent));
}
