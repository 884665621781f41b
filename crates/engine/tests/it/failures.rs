//! What the client says when the engine fails in the ways that Parlant does.

use std::time::Duration;

use parlant_engine::echo::Echo;
use parlant_engine::{Cause, Engine, Error, Open, customer_id};
use uuid::Uuid;

use crate::contract::spec;

struct Scene {
    echo: Echo,
    engine: Engine,
    agent_id: Uuid,
}

impl Scene {
    async fn new() -> Self {
        let echo = Echo::start().unwrap();
        let engine = Engine::new(&echo.config()).unwrap();
        let agent_id = Uuid::now_v7();
        engine.synchronise(&spec(agent_id, &[])).await.unwrap();
        Self { echo, engine, agent_id }
    }

    async fn open(&self) -> Result<String, Error> {
        let customer_id = customer_id("w", "u");
        let (agent_id, session_id) = (self.agent_id, Uuid::now_v7());
        self.engine.open(&Open { agent_id, session_id, customer_id, history: &[] }).await
    }
}

#[tokio::test]
async fn after_a_restart_everything_is_made_again() {
    let scene = Scene::new().await;
    let twin = scene.open().await.unwrap();
    scene.echo.forget();
    let lost = scene.engine.say(&twin, Uuid::now_v7(), "hello").await.unwrap_err();
    assert!(matches!(lost, Error::NotFound) && scene.echo.posted().is_empty(), "{lost:?}");
    assert!(matches!(scene.open().await, Err(Error::NotFound)));
    scene.engine.synchronise(&spec(scene.agent_id, &[])).await.unwrap();
    let twin = scene.open().await.unwrap();
    scene.engine.say(&twin, Uuid::now_v7(), "hello").await.unwrap();
    assert_eq!((scene.echo.agents(), scene.echo.sessions(), scene.echo.posted().len()), (1, 1, 1));
}

#[tokio::test]
async fn a_poll_ends_when_its_twin_is_lost() {
    let scene = Scene::new().await;
    let twin = scene.open().await.unwrap();
    let poll = scene.engine.events(&twin, 0, Duration::from_secs(30));
    let (outcome, ()) = tokio::join!(poll, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        scene.echo.forget();
    });
    assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
}

#[tokio::test]
async fn what_refuses_or_is_not_there_may_be_asked_again() {
    let scene = Scene::new().await;
    let twin = scene.open().await.unwrap();
    scene.echo.refuse(true);
    let refused = scene.engine.say(&twin, Uuid::now_v7(), "hello").await.unwrap_err();
    assert!(matches!(refused, Error::Unreachable(Cause::Status(503))), "{refused:?}");
    assert!(matches!(scene.engine.health().await, Err(Error::Unreachable(_))));
    scene.echo.refuse(false);
    scene.engine.say(&twin, Uuid::now_v7(), "hello").await.unwrap();
    assert_eq!(scene.echo.posted().len(), 1);

    let Scene { echo, engine, .. } = scene;
    drop(echo);
    // The connection may live for as long as it takes the engine to stop.
    let gone = loop {
        match engine.say(&twin, Uuid::now_v7(), "hello").await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(gone, Error::Unreachable(Cause::Connection(_))), "{gone:?}");
}

#[tokio::test]
async fn what_hangs_is_given_up_in_time_and_may_have_been_done() {
    let scene = Scene::new().await;
    let twin = scene.open().await.unwrap();
    scene.echo.hang(true);
    let message_id = Uuid::now_v7();
    // The clock jumps to where the client gives up, as soon as nothing else is left to do.
    tokio::time::pause();
    let hung = scene.engine.say(&twin, message_id, "hello").await.unwrap_err();
    assert!(matches!(hung, Error::Unreachable(Cause::Timeout)), "{hung:?}");
    tokio::time::resume();
    scene.echo.hang(false);
    while scene.echo.posted().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(scene.engine.find(&twin, message_id, 0).await.unwrap().is_some());
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found() {
    let scene = Scene::new().await;
    let twin = scene.open().await.unwrap();
    scene.echo.lose_answers(1);
    let message_id = Uuid::now_v7();
    let lost = scene.engine.say(&twin, message_id, "hello").await.unwrap_err();
    assert!(matches!(lost, Error::Unreachable(Cause::Connection(_))), "{lost:?}");
    let found = scene.engine.find(&twin, message_id, 0).await.unwrap().unwrap();
    assert_eq!((found.offset, scene.echo.posted()), (0, vec![message_id]));
    scene.engine.say(&twin, Uuid::now_v7(), "hello").await.unwrap();
}

#[tokio::test]
async fn a_hanging_engine_takes_no_more_than_its_share_and_recovers() {
    let scene = Scene::new().await;
    scene.echo.hang(true);
    tokio::time::pause();
    let agent = spec(scene.agent_id, &[]);
    let asked = (0..200).map(|_| scene.engine.synchronise(&agent));
    for outcome in futures_util::future::join_all(asked).await {
        assert!(matches!(outcome, Err(Error::Unreachable(Cause::Timeout))), "{outcome:?}");
    }
    tokio::time::resume();
    scene.echo.hang(false);
    scene.engine.synchronise(&spec(scene.agent_id, &[])).await.unwrap();
}
