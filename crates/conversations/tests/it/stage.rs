//! Conversations with an engine that answers, and what became of every message.

use std::time::{Duration, Instant};

use parlant_conversations::{Actor, Agent, Conversations, Delivery, DeliveryConfig, Limits, ListMessages, Message};
use parlant_db_pool::{Config, Pool};
use parlant_engine::Engine;
use parlant_engine::echo::Echo;
use parlant_test_support::TestDatabase;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::house::{House, config, reader};

/// Short times, so that what must be waited for comes soon.
pub(crate) const QUICK: DeliveryConfig = DeliveryConfig {
    max_turns: 32,
    turn_timeout: Duration::from_secs(20),
    delivery_timeout: Duration::from_mins(1),
    lease: Duration::from_secs(2),
    first_pause: Duration::from_millis(20),
};

pub(crate) struct Stage {
    pub(crate) house: House,
    pub(crate) echo: Echo,
    pub(crate) agent: Agent,
    delivery: Option<Delivery>,
}

/// A replica's delivery at work.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(delivery: Delivery) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        Self { stop: Some(stop), task: tokio::spawn(delivery.run(stopped)) }
    }

    /// As a server that is told to end.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Running {
    /// As one that is killed: nothing more of it runs.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An agent of the workspace `w`, and an engine. Nobody delivers yet.
pub(crate) async fn stage(delivery: DeliveryConfig) -> Stage {
    let database = parlant_test_support::database().await;
    let echo = Echo::start().unwrap();
    let pool = Pool::new(&config(database.url())).unwrap();
    let engine = Engine::new(&echo.config()).unwrap();
    let (conversations, delivery) = Conversations::new(pool.clone(), Limits::default()).with_engine(engine, delivery);
    let house = House { database, pool, conversations };
    let agent = house.agent("w", "Help").await;
    Stage { house, echo, agent, delivery: Some(delivery) }
}

pub(crate) fn ada() -> Actor<'static> {
    reader("ada", "w")
}

impl Stage {
    /// The delivery that belongs to the stage's conversations.
    pub(crate) fn run(&mut self) -> Running {
        Running::start(self.delivery.take().unwrap())
    }

    /// Another replica's, on the same database or on a way to it.
    pub(crate) fn replica(&self, delivery: DeliveryConfig, database: &Config) -> Running {
        let engine = Engine::new(&self.echo.config()).unwrap();
        let conversations = Conversations::new(Pool::new(database).unwrap(), Limits::default());
        Running::start(conversations.with_engine(engine, delivery).1)
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        &self.house.database
    }

    pub(crate) async fn session(&self) -> Uuid {
        self.house.session(&ada(), &self.agent).await.id
    }

    pub(crate) async fn post(&self, session: Uuid, content: &str) -> Message {
        self.house.post(&ada(), session, content).await
    }

    pub(crate) async fn messages(&self, session: Uuid) -> Vec<Message> {
        let list = ListMessages { offset: 0, limit: 100 };
        self.house.conversations.list_messages(&ada(), session, list).await.unwrap().messages
    }

    /// Who said what, in order.
    pub(crate) async fn said(&self, session: Uuid) -> Vec<String> {
        let messages = self.messages(session).await;
        messages.iter().map(|message| format!("{}: {}", message.message_type.as_str(), message.content)).collect()
    }

    pub(crate) async fn until(&self, what: &str, sql: &str) {
        let client = self.database().superuser().await;
        let deadline = Instant::now() + Duration::from_mins(1);
        while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until no turn is open, and looks whether everything is as it should be then.
    pub(crate) async fn settled(&self) -> Verdict {
        self.until("all turns ended", "select not exists (select from parlant_outbox where state = 'open')").await;
        self.verdict().await
    }

    /// What the tables say, which must make sense whatever happened.
    pub(crate) async fn verdict(&self) -> Verdict {
        let client = self.database().superuser().await;
        for (what, sql) in NEVER {
            let wrong: i64 = client.query_one(*sql, &[]).await.unwrap().get(0);
            assert_eq!(wrong, 0, "{what}");
        }
        let rows = client.query("select state, reason from parlant_outbox where state <> 'open'", &[]).await.unwrap();
        let reason = |reason: &str| rows.iter().filter(|row| row.get::<_, Option<&str>>(1) == Some(reason)).count();
        Verdict {
            answered: rows.iter().filter(|row| row.get::<_, &str>(0) == "answered").count(),
            engine_error: reason("engine_error"),
            timeout: reason("timeout"),
            cancelled: reason("cancelled"),
            rejected: reason("rejected"),
            gone: reason("gone"),
        }
    }
}

/// How many messages ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) answered: usize,
    pub(crate) engine_error: usize,
    pub(crate) timeout: usize,
    pub(crate) cancelled: usize,
    pub(crate) rejected: usize,
    pub(crate) gone: usize,
}

/// What must not be there: each counts the cases of it.
const NEVER: &[(&str, &str)] = &[
    (
        "messages of users that no turn knows",
        "select count(*) from parlant_event e where e.message_type = 'user' and not exists (
            select from parlant_outbox o where o.session_id = e.session_id and o.\"offset\" = e.\"offset\")",
    ),
    (
        "turns that do not have the one answer or the one failure that they should",
        "select count(*) from parlant_outbox o
        join parlant_event e on e.session_id = o.session_id and e.\"offset\" = o.\"offset\"
        cross join lateral (
            select count(*) filter (where r.message_type = 'agent' and r.content = '(echo) ' || e.content) as answers,
                count(*) filter (where r.message_type = 'system' and r.metadata ->> 'error' = o.reason) as failures,
                count(*) as replies
            from parlant_event r
            where r.session_id = o.session_id and r.metadata ->> 'in_reply_to' = e.id::text and r.\"offset\" > o.\"offset\"
        ) as reply
        where (o.state, reply.answers, reply.failures, reply.replies) not in
            (('open', 0, 0, 0), ('open', 1, 0, 1), ('answered', 1, 0, 1), ('failed', 0, 1, 1))",
    ),
    (
        "replies in another order than the messages",
        "select count(*) from (
            select o.\"offset\" < lag(o.\"offset\") over (partition by r.session_id order by r.\"offset\") as wrong
            from parlant_event r
            join parlant_event e on e.session_id = r.session_id and e.id::text = r.metadata ->> 'in_reply_to'
            join parlant_outbox o on o.session_id = e.session_id and o.\"offset\" = e.\"offset\"
        ) as pair
        where wrong",
    ),
    (
        "sessions whose counters are wrong",
        "select count(*) from parlant_session s
        where s.message_count <> (select count(*) from parlant_event e where e.session_id = s.id)
            or s.message_count <> (select coalesce(max(e.\"offset\"), -1) + 1 from parlant_event e where e.session_id = s.id)
            or s.open_turns <> (
                select count(*) from parlant_outbox o where o.session_id = s.id and o.state = 'open')",
    ),
    (
        "sessions in which no turn or more than one can be due",
        "select count(*) from (
            select count(*) filter (where o.due_at < 'infinity') as ready
            from parlant_outbox o where o.state = 'open' group by o.session_id
        ) as open
        where ready <> 1",
    ),
];
