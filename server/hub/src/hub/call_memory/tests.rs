use std::future::pending;

use tokio::time::sleep;

use std::time::Duration;

use super::*;

fn answering(text: &'static str) -> Answering {
    Box::pin(async move { Ok(Payload::json(text)) })
}

fn endless() -> Answering {
    Box::pin(pending())
}

fn never() -> Answering {
    panic!("it is remembered")
}

fn is_finished(waiting: &PendingCall) -> bool {
    waiting.call.task.as_ref().unwrap().is_finished()
}

fn user(name: &str) -> KeyOwner {
    KeyOwner::User(name.into())
}

fn scope(memory: &CallMemory) -> String {
    memory.idempotency("ann").unwrap().scope
}

fn nobody() -> KeyOwner {
    KeyOwner::Session(SessionId::random().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_carried_out_once_for_each_user_and_key() {
    let memory = Arc::new(CallMemory::new());
    let (first, _) = memory.call(user("ann"), "f", "k", || answering("1"));
    let (second, _) = memory.call(user("ann"), "f", "k", never);
    assert_eq!(first.await.unwrap(), Payload::json("1"));
    assert_eq!(second.await.unwrap(), Payload::json("1"));
    let (third, _) = memory.call(user("ann"), "f", "k", never);
    assert_eq!(third.await.unwrap(), Payload::json("1"), "also when it has ended");
    let (other, _) = memory.call(user("bob"), "f", "k", || answering("2"));
    assert_eq!(other.await.unwrap(), Payload::json("2"), "keys are a user's own");
    tokio::time::advance(KeyWindow::LONGEST).await;
    let (late, _) = memory.call(user("ann"), "f", "k", never);
    assert_eq!(late.await.unwrap(), Payload::json("1"), "longer than is said");
    tokio::time::advance(KeyWindow::KEPT).await;
    let (anew, _) = memory.call(user("ann"), "f", "k", || answering("3"));
    assert_eq!(anew.await.unwrap(), Payload::json("3"));
    assert_eq!(memory.state.lock().by_key.len(), 1);
}

#[tokio::test]
async fn a_key_is_bound_to_the_name_of_the_call_and_without_a_user_to_the_session() {
    let memory = Arc::new(CallMemory::new());
    let (first, second) = (nobody(), nobody());
    let (mine, _) = memory.call(first.clone(), "f", "k", || answering("1"));
    assert_eq!(mine.await.unwrap(), Payload::json("1"));
    for (owner, name, text) in [(&second, "f", "2"), (&first, "g", "3")] {
        let (other, _) = memory.call(owner.clone(), name, "k", move || answering(text));
        assert_eq!(other.await.unwrap(), Payload::json(text));
    }
    let (again, _) = memory.call(first.clone(), "f", "k", never);
    assert_eq!(again.await.unwrap(), Payload::json("1"), "a repeat in the same session");

    let (waiting, _) = memory.call(first, "f", "l", endless);
    let (_, canceller) = memory.call(second, "f", "l", endless);
    canceller.cancel();
    assert!(!is_finished(&waiting), "another session's call goes on");
    let task = waiting.call.task.clone().unwrap();
    drop(waiting);
    tokio::task::yield_now().await;
    assert!(task.is_finished(), "nobody can come back for it");
    assert!(memory.state.lock().abandoned.is_empty());
    assert_eq!(memory.idempotency(""), None, "so that a client repeats nothing");
    assert_ne!(memory.idempotency("bob").unwrap().scope, scope(&memory), "nor as another user");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_goes_on_while_its_key_is_promised() {
    let memory = Arc::new(CallMemory::new());
    let (lost, _) = memory.call(user("ann"), "f", "k", || {
        Box::pin(async {
            sleep(KeyWindow::LONGEST - Duration::from_secs(1)).await;
            Ok(Payload::json("1"))
        })
    });
    // The call may end before its answer was polled once.
    drop(lost);
    sleep(KeyWindow::LONGEST).await;
    let (late, _) = memory.call(user("ann"), "f", "k", never);
    assert_eq!(late.await.unwrap(), Payload::json("1"));
    assert!(memory.state.lock().abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_key_unless_somebody_waits() {
    let memory = Arc::new(CallMemory::new());
    let (lost, _) = memory.call(user("ann"), "f", "k", endless);
    let (waited_for, _) = memory.call(user("ann"), "f", "l", endless);
    let [lost_task, other_task] = [&lost, &waited_for].map(|waiting| waiting.call.task.clone().unwrap());
    drop(lost);
    let (again, _) = memory.call(user("ann"), "f", "k", never);
    assert!(memory.state.lock().abandoned.is_empty(), "somebody waits again");
    drop(again);
    sleep(KeyWindow::LONGEST).await;
    assert!(!lost_task.is_finished());
    sleep(KeyWindow::KEPT - KeyWindow::LONGEST + Duration::from_secs(1)).await;
    assert!(lost_task.is_finished(), "without anything else that happens in the memory");
    assert!(memory.state.lock().by_key.is_empty() && memory.state.lock().abandoned.is_empty());

    sleep(KeyWindow::KEPT).await;
    assert!(!other_task.is_finished(), "somebody waits");
    drop(waited_for);
    tokio::task::yield_now().await;
    assert!(other_task.is_finished(), "nobody can come back for it");
}

#[tokio::test]
async fn a_call_that_is_stopped_to_make_room_is_not_begun_anew() {
    let memory = Arc::new(CallMemory::new());
    for key in 0..=MAX_ABANDONED {
        drop(memory.call(user("ann"), "f", &key.to_string(), endless));
    }
    assert_eq!(memory.state.lock().abandoned.len(), MAX_ABANDONED);
    let (stopped, _) = memory.call(user("ann"), "f", "0", never);
    assert_eq!(stopped.await.unwrap_err().code, ErrorCode::CONNECTION_LOST);
    let (next, _) = memory.call(user("ann"), "f", "1", never);
    assert!(!is_finished(&next), "the oldest alone was stopped");
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_stopped_and_forgotten() {
    let memory = Arc::new(CallMemory::new());
    let (waiting, canceller) = memory.call(user("ann"), "f", "k", endless);
    canceller.cancel();
    assert!(waiting.await.is_err());
    let (anew, _) = memory.call(user("ann"), "f", "k", || answering("1"));
    assert!(anew.await.is_ok());
}

#[tokio::test]
async fn an_answer_that_comes_after_the_cancelling_counts_for_no_other_call() {
    let memory = Arc::new(CallMemory::new());
    let (first, canceller) = memory.call(user("ann"), "f", "k", || answering("1234"));
    // The memory regards the task as cancelled here, but the task may be past its last await.
    memory.state.lock().remove(&first.call);
    let (_second, _) = memory.call(user("ann"), "f", "k", endless);
    assert!(first.await.is_ok());
    canceller.cancel();
    let state = memory.state.lock();
    assert_eq!((state.bytes, state.by_key.len()), (0, 1), "the second one is still there");
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_cancelled_call_is_not_that_of_its_successor() {
    let memory = Arc::new(CallMemory::new());
    let (_waiting, canceller) = memory.call(user("ann"), "f", "k", endless);
    canceller.cancel();
    tokio::time::advance(KeyWindow::KEPT / 2).await;
    let (first, _) = memory.call(user("ann"), "f", "k", || answering("1"));
    assert_eq!(first.await.unwrap(), Payload::json("1"));
    tokio::time::advance(KeyWindow::KEPT / 2).await;
    let (repeat, _) = memory.call(user("ann"), "f", "k", never);
    assert_eq!(repeat.await.unwrap(), Payload::json("1"));
}

#[tokio::test(start_paused = true)]
async fn without_room_the_oldest_call_is_forgotten_and_the_announced_period_shrinks() {
    let memory = Arc::new(CallMemory::new());
    let before = memory.idempotency("ann").unwrap();
    let large = || -> Answering { Box::pin(async { Ok(Payload::bytes(vec![0; MAX_BYTES / 2 + 1])) }) };
    for key in ["1", "2"] {
        memory.call(user("ann"), "f", key, large).0.await.unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert_eq!(memory.state.lock().by_key.len(), 1);
    assert!(memory.state.lock().bytes <= MAX_BYTES);
    let after = memory.idempotency("ann").unwrap();
    assert_eq!((after.window.as_secs(), after.scope), (9, before.scope), "the second one is remembered");
}
