//! A source in memory that can be counted, held up and broken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parlant_auth_bridge::{
    Answer, AuthBridge, Cause, Config, Credential, Found, Identity, Permission, Person, Reason, Recheck, Session,
    SessionToken, Source, User, Users, Verdict, Workspace,
};
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) const SECRET: &str = "test-secret-0123456789abcdef0123456789abcdef";

/// How many questions may be under way at once.
const PERMITS: u32 = 1000;
/// How many questions are noted.
const KEPT: usize = 100;

pub(crate) struct Memory {
    sessions: Mutex<HashMap<String, Identity>>,
    /// The first questions: the token and what was signed.
    pub(crate) asked: Mutex<Vec<(String, Option<String>)>>,
    calls: AtomicUsize,
    pub(crate) down: AtomicBool,
    gate: Semaphore,
    reads_signature: bool,
    rechecks: bool,
    /// How often it was asked about many, and about how many the last time.
    pub(crate) rounds: AtomicUsize,
    pub(crate) asked_together: AtomicUsize,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Mutex::default(),
            asked: Mutex::default(),
            calls: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            gate: Semaphore::new(PERMITS as usize),
            reads_signature: false,
            rechecks: false,
            rounds: AtomicUsize::new(0),
            asked_together: AtomicUsize::new(0),
        }
    }

    /// One that can be asked about many at once.
    pub(crate) fn rechecking() -> Self {
        Self { rechecks: true, ..Self::new() }
    }

    /// One whose answers depend on the signature, and which finds no users.
    pub(crate) fn reading_signatures() -> Self {
        Self { reads_signature: true, ..Self::new() }
    }

    /// Holds every question up until the permit is dropped.
    pub(crate) async fn hold(&self) -> SemaphorePermit<'_> {
        self.gate.acquire_many(PERMITS).await.unwrap()
    }

    pub(crate) fn sign_in(&self, token: &str, expires_at: DateTime<Utc>) {
        self.sessions.lock().unwrap().insert(token.to_owned(), identity(token, expires_at));
    }

    pub(crate) fn sign_out(&self, token: &str) {
        self.sessions.lock().unwrap().remove(token);
    }

    pub(crate) fn is_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn answer(&self, token: SessionToken<'_>) -> Result<Identity, parlant_auth_bridge::Refusal> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        {
            let mut asked = self.asked.lock().unwrap();
            if asked.len() < KEPT {
                asked.push((token.token.to_owned(), token.signed.map(str::to_owned)));
            }
        }
        // What it says is of now, however long it takes to say it.
        let found = self.sessions.lock().unwrap().get(token.token).cloned();
        let _permit = self.gate.acquire().await.unwrap();
        if self.down.load(Ordering::SeqCst) {
            return Err(Cause::new("the memory is gone").into());
        }
        found.ok_or_else(|| Reason::UnknownSession.into())
    }
}

impl Recheck for Memory {
    fn sessions<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Identity>> {
        self.rounds.fetch_add(1, Ordering::SeqCst);
        self.asked_together.store(ids.len(), Ordering::SeqCst);
        let sessions = self.sessions.lock().unwrap().clone();
        Box::pin(async move {
            let _permit = self.gate.acquire().await.unwrap();
            if self.down.load(Ordering::SeqCst) {
                return Err(Cause::new("the memory is gone").into());
            }
            let held = sessions.into_values().map(|identity| (identity.session.id.clone(), Ok(identity)));
            Ok(held.filter(|(id, _)| ids.contains(&id.as_str())).collect())
        })
    }

    fn users<'a>(&'a self, _: &'a [&'a str]) -> Answer<'a, Found<Person>> {
        Box::pin(async { Ok(Found::new()) })
    }
}

impl Source for Memory {
    fn label(&self) -> &'static str {
        "memory"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
        Box::pin(self.answer(token))
    }

    fn reads_signature(&self) -> bool {
        self.reads_signature
    }

    fn users(&self) -> Option<&dyn Users> {
        (!self.reads_signature).then_some(self)
    }

    fn recheck(&self) -> Option<&dyn Recheck> {
        self.rechecks.then_some(self)
    }
}

impl Users for Memory {
    fn user<'a>(&'a self, user_id: &'a str) -> Answer<'a, Person> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let Identity { user, workspaces, .. } = identity(user_id, Utc::now());
        Box::pin(async move {
            if user_id.starts_with("user") { Ok(Person { user, workspaces }) } else { Err(Reason::UnknownUser.into()) }
        })
    }
}

/// Somebody named after the token.
pub(crate) fn identity(token: &str, expires_at: DateTime<Utc>) -> Identity {
    Identity {
        user: User {
            id: token.to_owned(),
            email: format!("{token}@example.com"),
            name: "Somebody".to_owned(),
            email_verified: true,
            image: None,
        },
        session: Session {
            id: format!("session of {token}"),
            expires_at,
            active_organization_id: None,
            impersonated_by: None,
        },
        workspaces: vec![Workspace { id: "w1".to_owned(), name: "One".to_owned(), permission: Permission::Write }],
    }
}

pub(crate) fn in_an_hour() -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(1)
}

pub(crate) fn bridge(config: &Config, memory: Memory) -> (AuthBridge, Arc<Memory>) {
    let memory = Arc::new(memory);
    let source: Arc<dyn Source> = Arc::<Memory>::clone(&memory);
    (AuthBridge::new(config, source).unwrap(), memory)
}

/// The verdict in one word.
pub(crate) async fn present(bridge: &AuthBridge, token: &str) -> &'static str {
    word(&bridge.authenticate(&Credential::from_bearer(token)).await)
}

pub(crate) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid(_) => "valid",
        Verdict::Invalid(reason) => reason.as_str(),
        Verdict::Unknown(_) => "unknown",
    }
}

/// Asks until the verdict is the expected one.
pub(crate) async fn becomes(bridge: &AuthBridge, token: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let verdict = present(bridge, token).await;
        if verdict == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {verdict}, never {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
