//! One turn: from a claim to its end, or to the next try.

use std::error::Error as StdError;
use std::sync::OnceLock;
use std::time::Duration;

use parlant_db_pool::{Row, ToSql, Transaction};
use parlant_engine::{AgentSpec, Delivered, Error as EngineError, Open, Said, customer_id};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::claim::{Claim, Task};
use super::reading::{News, Reading, Utterance};
use super::{Delivery, Reason};
use crate::conversations::read;
use crate::sql::delivery as sql;
use crate::{Error, MessageType, Notice, TurnStatus, What};

/// Most messages that a new twin is told of.
const HISTORY: i64 = 50;
/// Longest wait for events at a time.
const POLL: Duration = Duration::from_secs(20);
/// Longest wait for what must come at once. The engine counts in seconds.
const LINGER: Duration = Duration::from_secs(1);
/// Longest pause before another try, in first ones.
const LONGEST_PAUSE: u32 = 20;
/// What a client reads where an answer should be.
const NO_ANSWER: &str = "The agent could not answer this message.";

/// Why a turn did not come to its end this time.
#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error("another replica has taken the turn")]
    Lost,
    #[error("the session or its agent is gone")]
    Gone,
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<parlant_db_pool::Error> for Setback {
    fn from(error: parlant_db_pool::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Under way.
struct Turn<'a> {
    delivery: &'a Delivery,
    claim: &'a Claim,
    task: Task,
    /// Where the message was said.
    twin: OnceLock<String>,
    /// Until when the turn is ours without asking.
    ours_until: watch::Sender<Instant>,
}

impl Delivery {
    /// Brings a turn to its end, or leaves it for another try.
    pub(super) async fn take(&self, claim: &Claim) {
        let result = match self.load(claim).await {
            Ok(Some(task)) => {
                let ours_until = watch::Sender::new(claim.taken + self.config.lease);
                Turn { delivery: self, claim, task, twin: OnceLock::new(), ours_until }.run().await
            }
            Ok(None) => Err(Setback::Lost),
            Err(error) => Err(error.into()),
        };
        let Claim { session_id, offset, attempts, .. } = claim;
        let Err(setback) = result else { return };
        match setback {
            Setback::Lost => tracing::info!(%session_id, offset, attempts, "Lost a turn to another replica"),
            // Every turn meets it, and the engine's own metrics and health tell.
            Setback::Engine(EngineError::Unreachable(_)) => {
                tracing::debug!(%session_id, offset, attempts, "The engine cannot be reached");
                self.give_back(claim, self.pause(*attempts)).await;
            }
            Setback::Engine(EngineError::NotFound) => {
                tracing::info!(%session_id, offset, attempts, "The engine has lost the session");
                let pause = if *attempts < 3 { Duration::ZERO } else { self.pause(*attempts) };
                self.give_back(claim, pause).await;
                self.wake.notify_one();
            }
            setback => {
                tracing::warn!(%session_id, offset, attempts, error = &setback as &dyn StdError, "A turn was interrupted");
                self.give_back(claim, self.pause(*attempts)).await;
            }
        }
    }

    /// Doubled with each try, by chance up to a half shorter or longer.
    fn pause(&self, attempts: i32) -> Duration {
        let factor = 1 << (attempts.clamp(1, 16) - 1);
        (self.config.first_pause * LONGEST_PAUSE.min(factor)).mul_f64(rand::random_range(0.5..1.5))
    }
}

impl Turn<'_> {
    async fn run(&self) -> Result<(), Setback> {
        // The one that keeps the lease first: after a stall it may be lost.
        let result = tokio::select! {
            biased;
            setback = self.keep() => Err(setback),
            result = self.deliver() => result,
        };
        match result {
            Err(Setback::Gone) => self.give_up(Reason::Gone).await,
            Err(Setback::Engine(EngineError::Rejected { status })) => {
                tracing::warn!(session_id = %self.claim.session_id, status, "The engine refuses a message");
                self.give_up(Reason::Rejected).await
            }
            Err(Setback::Engine(error)) if self.is_late(&error) => self.give_up(Reason::Timeout).await,
            Err(Setback::Engine(EngineError::NotFound)) => {
                self.set_twin(None).await?;
                Err(EngineError::NotFound.into())
            }
            result => result,
        }
    }

    /// Whether an engine that fails has been away for too long. It is asked once, however old the message is: others
    /// may have been before it all that time.
    fn is_late(&self, error: &EngineError) -> bool {
        let (task, config) = (&self.task, &self.delivery.config);
        let (age, limit) = match (error, task.delivered_age) {
            (EngineError::Unreachable(_), Some(age)) => (age, config.turn_timeout),
            _ => (task.age, config.delivery_timeout),
        };
        age + task.loaded.elapsed() > limit
    }

    /// Renews the lease until that fails or makes no sense.
    async fn keep(&self) -> Setback {
        let lease = self.delivery.config.lease;
        loop {
            sleep(lease / 3).await;
            let until = Instant::now() + lease;
            match self.delivery.keep(self.claim, lease).await {
                Ok(Some(true)) => {
                    self.ours_until.send_replace(until);
                }
                Ok(Some(false)) => return Setback::Gone,
                Ok(None) => return Setback::Lost,
                Err(_) if self.is_ours() => {}
                Err(error) => return error.into(),
            }
        }
    }

    fn is_ours(&self) -> bool {
        Instant::now() < *self.ours_until.borrow()
    }

    async fn deliver(&self) -> Result<(), Setback> {
        let task = &self.task;
        if !task.active {
            return Err(Setback::Gone);
        }
        let (trace_id, next, age) = match (&task.twin, task.delivered_age) {
            (Some(twin), Some(age)) => {
                let _ = self.twin.set(twin.clone());
                (task.trace_id.clone().unwrap_or_default(), task.next_offset, age + task.loaded.elapsed())
            }
            // The answer came before the engine forgot that it was asked.
            _ if task.answers > 0 => return self.give_up(Reason::Timeout).await,
            _ => {
                let Delivered { offset, trace_id } = self.say().await?;
                (trace_id, offset + 1, Duration::ZERO)
            }
        };
        self.listen(Reading::new(task.message_id, trace_id, next, task.answers > 0), age).await
    }

    /// Sees to it that the engine has the message, once.
    async fn say(&self) -> Result<Delivered, Setback> {
        let Self { delivery: Delivery { engine, pool, .. }, claim, task, .. } = self;
        let agent = &task.agent;
        if !agent.in_engine {
            pool.execute(&sql::REMEMBER_AGENT, &[&agent.id, &claim.workspace_id]).await?;
        }
        let spec = AgentSpec {
            id: agent.id,
            name: &agent.name,
            description: agent.description.as_deref(),
            guidelines: &agent.guidelines,
        };
        engine.synchronise(&spec).await?;
        let twin = match &task.twin {
            None => {
                let twin = self.open().await?;
                // After a restart in between, another turn may have brought back the agent, and not yet its guidelines.
                engine.synchronise(&spec).await?;
                twin
            }
            Some(twin) => twin.clone(),
        };
        let twin = self.twin.get_or_init(|| twin);
        // It can be there only if the twin was, and somebody had the turn before.
        let delivered = if task.twin.is_some() && claim.attempts > 1 {
            engine.find(twin, task.message_id, task.next_offset).await?
        } else {
            None
        };
        let delivered = match delivered {
            Some(delivered) => delivered,
            // Whoever has taken the turn over has looked for the message already.
            None if !self.is_ours() => return Err(Setback::Lost),
            None => engine.say(twin, task.message_id, &task.content).await?,
        };
        self.write(&sql::MARK_DELIVERED, &[&delivered.trace_id, &(delivered.offset + 1)]).await?;
        Ok(delivered)
    }

    /// A new twin that knows what was said before.
    async fn open(&self) -> Result<String, Setback> {
        let Self { delivery, claim, task, .. } = self;
        let history = self.history().await?;
        let open = Open {
            agent_id: task.agent.id,
            session_id: claim.session_id,
            customer_id: customer_id(&claim.workspace_id, &task.user_id),
            history: &history,
        };
        let twin = delivery.engine.open(&open).await?;
        if let Err(error) = self.set_twin(Some(&twin)).await {
            // Nobody else knows of it.
            let _ = delivery.engine.close(&twin).await;
            return Err(error);
        }
        Ok(twin)
    }

    /// The last [`HISTORY`] things that were said before.
    async fn history(&self) -> Result<Vec<Said>, Setback> {
        let Claim { session_id, workspace_id, offset, .. } = self.claim;
        let message_id = self.task.message_id.to_string();
        let parameters: [&(dyn ToSql + Sync); 5] = [session_id, workspace_id, offset, &message_id, &HISTORY];
        let rows = self.delivery.pool.query(&sql::LIST_HISTORY, &parameters).await?;
        let said = |row: &Row| {
            read("parlant_event", row, |row| {
                let text = row.try_get(1)?;
                Ok(if row.try_get(0)? { Said::Agent(text) } else { Said::Customer(text) })
            })
        };
        Ok(rows.iter().map(said).collect::<Result<_, _>>()?)
    }

    /// Reads what the agent does until its turn has ended. The twin got the message `age` ago.
    async fn listen(&self, mut reading: Reading, age: Duration) -> Result<(), Setback> {
        let (engine, twin) = (&self.delivery.engine, self.twin.get().map(String::as_str).unwrap_or_default());
        let since = Instant::now();
        loop {
            let mut news = News::default();
            let remaining = self.delivery.config.turn_timeout.saturating_sub(age + since.elapsed());
            // Also when the time is over: somebody else may have had the turn, and not come to hear the answer.
            let wait = if remaining.is_zero() { remaining } else { remaining.clamp(LINGER, POLL) };
            if let Ok(events) = timeout(remaining.max(LINGER), engine.events(twin, reading.next, wait)).await {
                reading.read(events?, &mut news);
            }
            if reading.is_inconclusive(&news)
                && let Ok(more) = engine.events(twin, reading.next, LINGER).await
            {
                reading.read(more, &mut news);
            }
            for status in news.statuses.drain(..) {
                self.announce(What::Status(status));
            }
            let end = news.end.or_else(|| remaining.is_zero().then_some(Err(Reason::Timeout)));
            match end {
                Some(end) => return self.finish(&reading, news, end, age + since.elapsed()).await,
                None if news.said.is_empty() => {}
                None => self.store(&reading, news, None, age + since.elapsed()).await?,
            }
        }
    }

    /// Ends a turn from which nothing more is to be had.
    async fn give_up(&self, reason: Reason) -> Result<(), Setback> {
        let task = &self.task;
        let reading = Reading::new(task.message_id, String::new(), task.next_offset, task.answers > 0);
        self.finish(&reading, News::default(), Err(reason), Duration::ZERO).await
    }

    /// Stores the end of the turn. One that has an answer is answered, whatever happened then.
    async fn finish(
        &self,
        reading: &Reading,
        news: News,
        end: Result<(), Reason>,
        time: Duration,
    ) -> Result<(), Setback> {
        let Self { delivery, claim, task, .. } = self;
        let end = if reading.answered { Ok(()) } else { end };
        self.store(reading, news, Some(end), time).await?;
        let outcome = end.map_or_else(Reason::as_str, |()| "answered");
        let duration = task.age + task.loaded.elapsed();
        delivery.metrics.ended(end.err(), duration);
        let Claim { session_id, offset, attempts, .. } = claim;
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%session_id, offset, attempts, outcome, duration_ms, "A turn ended");
        self.announce(What::Status(if end.is_ok() { TurnStatus::Ready } else { TurnStatus::Failed }));
        if let (Err(Reason::Timeout | Reason::Cancelled), Some(twin)) = (end, self.twin.get().or(task.twin.as_ref())) {
            // It is no longer ours: whatever it still says goes nowhere.
            let _ = timeout(LINGER, delivery.engine.close(twin)).await;
        }
        Ok(())
    }

    /// Stores what the agent said and, with an `end`, that the turn has ended; all of it or nothing, and once.
    async fn store(
        &self,
        reading: &Reading,
        news: News,
        end: Option<Result<(), Reason>>,
        time: Duration,
    ) -> Result<(), Setback> {
        let Self { delivery, claim, task, .. } = self;
        let (state, reason) = match end {
            None => ("open", None),
            Some(Ok(())) => ("answered", None),
            Some(Err(reason)) => ("failed", Some(reason.as_str())),
        };
        let count = news.said.iter().filter(|said| !said.preamble).count();
        let answers = i32::try_from(count).unwrap_or(i32::MAX);
        let mut messages = Vec::new();
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for Utterance { event_id, text, preamble } in news.said {
            let mut metadata = json!({ "in_reply_to": task.message_id, "processing_time_ms": milliseconds });
            if preamble {
                metadata["preamble"] = true.into();
            } else {
                metadata["matched_guidelines"] = news.matched_guidelines.clone().into();
            }
            messages.push(stored(MessageType::Agent, &text, &metadata, Some(&event_id)));
        }
        if let Some(reason) = reason {
            let metadata = json!({ "in_reply_to": task.message_id, "error": reason });
            messages.push(stored(MessageType::System, NO_ANSWER, &metadata, None));
        }
        let Claim { session_id, offset, workspace_id, lease, .. } = claim;
        let messages = Json(messages);
        let parameters: [&(dyn ToSql + Sync); 9] =
            [session_id, offset, lease, workspace_id, &reading.next, &answers, &state, &reason, &messages];
        let parameters = &parameters;
        let store = |transaction: Transaction| async move {
            let row = transaction.query_opt(&sql::STORE_TURN, parameters).await?.ok_or(Setback::Lost)?;
            let (first, open): (i32, i32) =
                read("parlant_session", &row, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
            if end.is_some() && open > 0 {
                transaction.execute(&sql::WAKE_NEXT_TURN, &[session_id, offset, workspace_id]).await?;
            }
            Ok::<_, Setback>((first, open))
        };
        let (first, open) = delivery.pool.transaction("store_turn", store).await?;
        for offset in (first..).take(messages.0.len()) {
            self.announce(What::Message { offset });
        }
        if end.is_some() && open > 0 {
            delivery.wake.notify_one();
        }
        Ok(())
    }

    async fn set_twin(&self, twin: Option<&str>) -> Result<(), Setback> {
        self.write(&sql::SET_TWIN, &[&twin]).await
    }

    /// Runs a statement that begins with the four parameters which make the turn ours.
    async fn write(&self, query: &'static parlant_db_pool::Query, more: &[&(dyn ToSql + Sync)]) -> Result<(), Setback> {
        let Claim { session_id, offset, workspace_id, lease, .. } = self.claim;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![session_id, offset, lease, workspace_id];
        parameters.extend(more);
        match self.delivery.pool.execute(query, &parameters).await? {
            0 => Err(Setback::Lost),
            _ => Ok(()),
        }
    }

    fn announce(&self, what: What) {
        self.delivery.live.announce(Notice {
            workspace_id: self.claim.workspace_id.clone(),
            user_id: self.task.user_id.clone(),
            session_id: self.claim.session_id,
            agent_id: self.task.agent.id,
            what,
        });
    }
}

/// A message as `STORE_TURN` takes it.
fn stored(kind: MessageType, content: &str, metadata: &Value, event_id: Option<&str>) -> Value {
    json!({
        "id": Uuid::now_v7(),
        "message_type": kind,
        "content": content,
        "metadata": metadata,
        "engine_event_id": event_id,
    })
}
