use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::Utc;

use crate::{Answer, Cause, Found, Identity, Person, Reason, Recheck, Refusal, Session, SessionToken, Source, Users};

/// A source in memory that can be broken. It finds users, and can be asked about many at once.
#[derive(Default)]
pub struct MemorySource {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    people: HashMap<String, Person>,
    /// By token: the user's id and the session.
    sessions: HashMap<String, (String, Session)>,
    banned: HashSet<String>,
    down: bool,
}

impl State {
    fn person(&self, id: &str) -> Result<Person, Reason> {
        let person = self.people.get(id).ok_or(Reason::UnknownUser)?;
        if self.banned.contains(id) { Err(Reason::Banned) } else { Ok(person.clone()) }
    }

    fn identity(&self, (user_id, session): &(String, Session)) -> Result<Identity, Reason> {
        if session.expires_at <= Utc::now() {
            return Err(Reason::Expired);
        }
        let Person { user, workspaces } = self.person(user_id)?;
        Ok(Identity { user, session: session.clone(), workspaces })
    }
}

impl MemorySource {
    /// The user signs in and gets this token. What was known of the user is replaced, and so is what the token was.
    pub fn sign_in(&self, token: &str, Identity { user, session, workspaces }: Identity) {
        let mut state = self.state();
        state.sessions.insert(token.to_owned(), (user.id.clone(), session));
        state.people.insert(user.id.clone(), Person { user, workspaces });
    }

    /// The session of this token ends.
    pub fn sign_out(&self, token: &str) {
        self.state().sessions.remove(token);
    }

    /// The user with this id is banned, for ever.
    pub fn ban(&self, user_id: &str) {
        self.state().banned.insert(user_id.to_owned());
    }

    /// Whether nothing can be found out.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<T: Send + 'static>(&self, find: impl FnOnce(&State) -> Result<T, Reason>) -> Answer<'static, T> {
        let state = self.state();
        let answer =
            if state.down { Err(Cause::new("the memory is down").into()) } else { find(&state).map_err(Refusal::from) };
        Box::pin(async { answer })
    }
}

impl Source for MemorySource {
    fn label(&self) -> &'static str {
        "memory"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
        self.answer(|state| state.identity(state.sessions.get(token.token).ok_or(Reason::UnknownSession)?))
    }

    fn users(&self) -> Option<&dyn Users> {
        Some(self)
    }

    fn recheck(&self) -> Option<&dyn Recheck> {
        Some(self)
    }
}

impl Users for MemorySource {
    fn user<'a>(&'a self, user_id: &'a str) -> Answer<'a, Person> {
        self.answer(|state| state.person(user_id))
    }
}

impl Recheck for MemorySource {
    fn sessions<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Identity>> {
        self.answer(|state| {
            let named = state.sessions.values().filter(|(_, session)| ids.contains(&session.id.as_str()));
            Ok(named.map(|held| (held.1.id.clone(), state.identity(held))).collect())
        })
    }

    fn users<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Person>> {
        self.answer(|state| {
            let named = ids.iter().filter(|id| state.people.contains_key(**id));
            Ok(named.map(|id| ((*id).to_owned(), state.person(id))).collect())
        })
    }
}
