use std::collections::BTreeSet;
use std::error::Error;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, mem};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use parlant_metrics::Snapshot;
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use crate::delivery::deliver;
use crate::metrics::{Firing, Heartbeats};
use crate::outbox::{Outbox, Standing};
use crate::{Alone, Claims, Config, Evaluator, Heartbeat, Inhibition, Machine, Notification, Notifier, Rule, Source};

/// How long the other replicas may be asked.
const CLAIMS_LIMIT: Duration = Duration::from_secs(5);

/// Looks at the rules again and again, and sees to it that people are told.
pub struct Alerting {
    evaluator: Evaluator,
    machine: Machine,
    firing: Firing,
    notifiers: Vec<Arc<dyn Notifier>>,
    claims: Box<dyn Claims>,
    heartbeat: Option<(Heartbeat, Heartbeats)>,
    outbox: Outbox,
    interval: Duration,
    drain: Duration,
}

impl Alerting {
    /// Tells `notifiers`, mostly [`Config::notifiers`], when one of the `rules` says so. Two rules may share a name, but not
    /// a severity as well.
    #[must_use]
    pub fn new(rules: Vec<Rule>, notifiers: Vec<Arc<dyn Notifier>>, config: Config) -> Self {
        Self {
            heartbeat: config.heartbeat.as_ref().map(|heartbeat| (heartbeat.clone(), Heartbeats::register())),
            evaluator: Evaluator::new(&rules),
            firing: Firing::register(&rules),
            machine: Machine::new(rules, &config),
            outbox: Outbox::new(notifiers.iter().map(|notifier| notifier.name()), config.state_dir),
            notifiers,
            claims: Box::new(Alone),
            // Tokio knows no clock that ticks without a pause.
            interval: config.interval.max(Duration::from_millis(1)),
            drain: config.drain,
        }
    }

    /// The same, silent about what is explained.
    #[must_use]
    pub fn with_inhibitions(self, inhibitions: Vec<Inhibition>) -> Self {
        Self { machine: self.machine.with_inhibitions(inhibitions), ..self }
    }

    /// The same beside replicas.
    #[must_use]
    pub fn with_claims(self, claims: impl Claims) -> Self {
        Self { claims: Box::new(claims), ..self }
    }

    /// Works until `stop` is ready, then sends what still waits for [`Config::drain`] at most, and lets go of its claims.
    ///
    /// `numbers` is called at each round. A source that it does not have this time is one that nobody knows the numbers
    /// of.
    pub async fn run(self, numbers: impl FnMut() -> Vec<(Source, Snapshot)>, stop: impl Future<Output = ()>) {
        let Self { evaluator, machine, firing, notifiers, claims, heartbeat, outbox, interval, drain } = self;
        if notifiers.is_empty() {
            tracing::info!("Nobody is told of alerts: neither SLACK_WEBHOOK_URL nor ALERT_JSON_WEBHOOK_URL is set");
        }
        let (deadline, until) = watch::channel(None);
        let beats = Notify::new();
        let mut rounds = Rounds { numbers, evaluator, machine, firing, claims, outbox: &outbox, beats: &beats };
        let watching = async {
            let mut stop = pin!(stop);
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                select! {
                    biased;
                    () = &mut stop => break,
                    _ = ticks.tick() => rounds.round(Utc::now()).await,
                }
            }
            deadline.send_replace(Some(Instant::now() + drain));
            rounds
        };
        let deliveries = join_all(notifiers.iter().map(|notifier| deliver(&**notifier, &outbox, until.clone())));
        let mut stopping = until.clone();
        let beating = async {
            select! {
                () = beat(heartbeat, &beats) => {}
                _ = stopping.wait_for(Option::is_some) => {}
            }
        };
        let (mut rounds, _, ()) = tokio::join!(watching, deliveries, beating);
        let _ = timeout(CLAIMS_LIMIT, rounds.claims.hold(&[])).await;
        outbox.close();
    }
}

/// What a round needs.
struct Rounds<'a, N> {
    numbers: N,
    evaluator: Evaluator,
    machine: Machine,
    firing: Firing,
    claims: Box<dyn Claims>,
    outbox: &'a Outbox,
    beats: &'a Notify,
}

impl<N: FnMut() -> Vec<(Source, Snapshot)>> Rounds<'_, N> {
    async fn round(&mut self, at: DateTime<Utc>) {
        let standing = self.outbox.open().await;
        if let Standing::Earlier(state) = &standing {
            self.machine.adopt(at, state);
        }
        for (source, numbers) in (self.numbers)() {
            self.evaluator.observe(at, source, &numbers);
        }
        self.machine.observe(at, &self.evaluator.findings(at));
        self.firing.set(&self.machine);
        if !matches!(standing, Standing::Wait) {
            self.tell().await;
        }
        self.beats.notify_one();
    }

    async fn tell(&mut self) {
        let wanted = self.machine.firing();
        let elsewhere = timeout(CLAIMS_LIMIT, self.claims.hold(&wanted)).await;
        let elsewhere = elsewhere.unwrap_or_else(|_| {
            tracing::warn!("The other replicas could not be asked in time: this one tells all of its alerts");
            BTreeSet::new()
        });
        let news = self.machine.tell(&elsewhere);
        for Notification { key, status, message, .. } in &news {
            tracing::warn!(alert = %key, status = status.as_str(), "{message}");
        }
        self.outbox.commit(&self.machine, &news).await;
    }
}

/// Calls once for each notice, and says once that nobody hears it.
async fn beat(heartbeat: Option<(Heartbeat, Heartbeats)>, notices: &Notify) {
    let Some((heartbeat, metrics)) = heartbeat else { return pending().await };
    let mut failing = false;
    loop {
        notices.notified().await;
        match heartbeat.beat().await {
            Ok(()) => {
                metrics.sent.increment(1);
                failing = false;
            }
            Err(error) => {
                metrics.failed.increment(1);
                if !mem::replace(&mut failing, true) {
                    tracing::warn!(error = &error as &dyn Error, "The heartbeat is not heard");
                }
            }
        }
    }
}

impl fmt::Debug for Alerting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerting").field("machine", &self.machine).finish_non_exhaustive()
    }
}
