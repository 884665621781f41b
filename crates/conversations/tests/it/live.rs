//! Notices: to whom they go, what a slow listener is told, and how they get from process to process.

use std::time::Duration;

use parlant_conversations::{Live, MAX_STREAMS_PER_USER, Notice, Signal, Subscription, TurnStatus, What};
use parlant_db_pool::Config;
use parlant_test_support::{ChaosProxy, database};
use tokio::time::timeout;
use uuid::Uuid;

fn notice(workspace_id: &str, session_id: Uuid, what: What) -> Notice {
    Notice { workspace_id: workspace_id.into(), user_id: "ada".into(), session_id, agent_id: Uuid::nil(), what }
}

async fn hears(subscription: &mut Subscription) -> Signal {
    timeout(Duration::from_secs(20), subscription.next()).await.unwrap()
}

/// What was announced; none when something was missed.
async fn heard(subscription: &mut Subscription) -> Option<Notice> {
    match hears(subscription).await {
        Signal::Notice(notice) => Some((*notice).clone()),
        Signal::Missed => None,
    }
}

async fn is_silent(subscription: &mut Subscription) -> bool {
    timeout(Duration::from_millis(200), subscription.next()).await.is_err()
}

#[tokio::test]
async fn each_hears_what_it_listens_to_in_order_and_nothing_else() {
    let live = Live::default();
    let [one, two] = [Uuid::now_v7(), Uuid::now_v7()];
    let mut session = live.session(one);
    let mut workspaces = live.workspaces(["sales".to_owned(), "support".to_owned()]);
    let mut nowhere = live.workspaces([]);
    let told = [
        notice("sales", one, What::SessionStarted),
        notice("support", two, What::Message { offset: 0 }),
        notice("of others", Uuid::now_v7(), What::SessionEnded),
        notice("sales", one, What::Status(TurnStatus::Typing)),
    ];
    for notice in &told {
        live.announce(notice.clone());
    }
    for index in [0, 3] {
        assert_eq!(heard(&mut session).await.as_ref(), Some(&told[index]));
    }
    for index in [0, 1, 3] {
        assert_eq!(heard(&mut workspaces).await.as_ref(), Some(&told[index]));
    }
    for subscription in [&mut session, &mut workspaces, &mut nowhere] {
        assert!(is_silent(subscription).await);
    }
}

#[tokio::test]
async fn who_is_too_slow_is_told_once_and_holds_up_nobody() {
    let live = Live::default();
    let id = Uuid::now_v7();
    let (mut slow, mut quick) = (live.session(id), live.session(id));
    for offset in 0..1000 {
        let notice = notice("sales", id, What::Message { offset });
        live.announce(notice.clone());
        assert_eq!(heard(&mut quick).await, Some(notice));
    }
    assert_eq!(hears(&mut slow).await, Signal::Missed);
    assert!(is_silent(&mut slow).await, "what was missed is not told as well");
    let next = notice("sales", id, What::SessionEnded);
    live.announce(next.clone());
    assert_eq!(heard(&mut slow).await, Some(next));
}

#[test]
fn a_user_has_so_many_streams_whoever_else_has_some() {
    let live = Live::default();
    let mut open: Vec<_> = (0..MAX_STREAMS_PER_USER).map(|_| live.admit("ada").unwrap()).collect();
    assert!(live.admit("ada").is_none());
    let _other = live.admit("bob").unwrap();
    open.pop();
    assert!(live.admit("ada").is_some());
    drop(open);
    assert!((0..MAX_STREAMS_PER_USER).map(|_| live.admit("ada")).collect::<Option<Vec<_>>>().is_some());
}

#[tokio::test]
async fn processes_hear_each_other_once_and_know_what_they_missed() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let (here, there) = (Live::default(), Live::default());
    let id = Uuid::now_v7();
    let (mut at_home, mut elsewhere) = (here.session(id), there.session(id));
    tokio::spawn(here.clone().run(Config::new(database.url())));
    tokio::spawn(there.clone().run(Config::new(database.url_through(proxy.address()))));
    // Whatever was before they were connected may have been missed.
    assert_eq!(hears(&mut at_home).await, Signal::Missed);
    assert_eq!(hears(&mut elsewhere).await, Signal::Missed);

    let told: Vec<_> = (0..500).map(|offset| notice("sales", id, What::Message { offset })).collect();
    for batch in told.chunks(20) {
        for notice in batch {
            here.announce(notice.clone());
        }
        for notice in batch {
            assert_eq!(heard(&mut at_home).await.as_ref(), Some(notice));
            assert_eq!(heard(&mut elsewhere).await.as_ref(), Some(notice));
        }
    }
    assert!(is_silent(&mut at_home).await, "once");

    proxy.refuse().await;
    proxy.cut();
    here.announce(told[0].clone());
    there.announce(told[1].clone());
    assert_eq!(heard(&mut at_home).await.as_ref(), Some(&told[0]));
    assert_eq!(heard(&mut elsewhere).await.as_ref(), Some(&told[1]));
    proxy.restore().await;
    assert_eq!(hears(&mut elsewhere).await, Signal::Missed);
    // The other could not tell, and says so.
    assert_eq!(hears(&mut at_home).await, Signal::Missed);
}
