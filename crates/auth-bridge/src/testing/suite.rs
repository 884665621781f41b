use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use secrecy::SecretString;

use super::somebody;
use crate::signature::Signer;
use crate::{Carrier, Identity, Permission, Reason, Refusal, SessionToken, Source};

/// The longest that a source may take to say that it cannot answer.
const BOUND: Duration = Duration::from_secs(15);
/// How soon an outage's end has to be noticed.
const RECOVERY: Duration = Duration::from_secs(15);

/// A source, and the means to change what is behind it. Whoever tests a source of their own implements this, over a
/// store that holds nothing yet, and hands it to [`accept`].
pub trait Store: Sync {
    /// The source under test.
    fn source(&self) -> &dyn Source;

    /// Makes the store hold this user with this session and exactly these workspaces; whatever it held under the same
    /// ids or the same token is replaced. The token has letters, digits, `-` and `_`.
    fn sign_in(&self, token: &str, identity: &Identity) -> impl Future<Output = ()> + Send;

    /// Ends the session of this token.
    fn sign_out(&self, token: &str) -> impl Future<Output = ()> + Send;

    /// Bans the user with this id and leaves the sessions where they are.
    fn ban(&self, user_id: &str) -> impl Future<Output = ()> + Send;

    /// Puts the store out of the source's reach, or back into it.
    fn set_down(&self, down: bool) -> impl Future<Output = ()> + Send;

    /// The secret that tokens are signed with, of 32 characters or more: for a source that
    /// [reads signatures](Source::reads_signature).
    fn secret(&self) -> &'static str {
        "acceptance-secret-0123456789abcdef"
    }
}

/// Puts a source to the test: what the bridge relies on, each of it tried out.
///
/// # Panics
/// At the first thing that the source does wrong, saying what.
pub async fn accept(store: &impl Store) {
    let suite = Suite { store, source: store.source() };
    suite.sessions_are_told_apart().await;
    suite.what_ended_is_refused().await;
    suite.nothing_is_remembered().await;
    suite.users_are_found().await;
    suite.many_are_what_each_is().await;
    suite.an_outage_is_no_refusal().await;
}

struct Suite<'a, S> {
    store: &'a S,
    source: &'a dyn Source,
}

impl<S: Store> Suite<'_, S> {
    async fn sessions_are_told_apart(&self) {
        let people = ["ada", "bob", "cyd"].map(somebody);
        for person in &people {
            self.store.sign_in(&token(person), person).await;
        }
        for person in &people {
            assert_eq!(&self.session(&token(person)).await.unwrap_or_else(missing), person, "a session is its user's");
        }
        let [ada, bob, cyd] = people.each_ref().map(token);
        let (ada, bob, cyd) = tokio::join!(self.session(&ada), self.session(&bob), self.session(&cyd));
        let together = [ada, bob, cyd].map(|answer| answer.unwrap_or_else(missing));
        assert_eq!(together, people, "asked at once, each is told of themselves");
        let ada = token(&people[0]);
        for strange in [&ada[1..], &ada[..ada.len() - 1], &ada.to_uppercase(), &format!("{ada}-"), "%", "nobody"] {
            let answer = self.session(strange).await;
            assert!(matches!(answer, Err(Refusal::Invalid(_))), "{strange:?} is nobody's token: {answer:?}");
        }
        if self.source.reads_signature() {
            let (signed, carrier) = (format!("{ada}.{}=", "A".repeat(43)), Carrier::Cookie);
            let forged = SessionToken { token: &ada, signed: Some(&signed), carrier, client: None };
            let answer = self.source.session(forged).await;
            assert!(matches!(answer, Err(Refusal::Invalid(_))), "a forged signature is refused: {answer:?}");
        }
    }

    async fn what_ended_is_refused(&self) {
        let mut late = somebody("late");
        late.session.expires_at = Utc::now() - TimeDelta::minutes(1);
        let (gone, banned) = (somebody("gone"), somebody("banned"));
        for person in [&late, &gone, &banned] {
            self.store.sign_in(&token(person), person).await;
        }
        self.store.sign_out(&token(&gone)).await;
        self.store.ban(&banned.user.id).await;
        for (person, expected) in [
            (&late, &[Reason::Expired, Reason::UnknownSession][..]),
            (&gone, &[Reason::UnknownSession]),
            (&banned, &[Reason::Banned]),
        ] {
            let answer = self.session(&token(person)).await;
            let is_expected = matches!(&answer, Err(Refusal::Invalid(reason)) if expected.contains(reason));
            assert!(is_expected, "{} is {expected:?}: {answer:?}", person.user.id);
        }
    }

    async fn nothing_is_remembered(&self) {
        let mut person = somebody("mover");
        for workspaces in [2, 1, 0] {
            person.workspaces.truncate(workspaces);
            person.workspaces.iter_mut().for_each(|workspace| workspace.permission = Permission::Admin);
            self.store.sign_in(&token(&person), &person).await;
            let answer = self.session(&token(&person)).await.unwrap_or_else(missing);
            assert_eq!(answer, person, "each answer is of now");
        }
    }

    async fn users_are_found(&self) {
        let Some(users) = self.source.users() else { return };
        let ada = somebody("ada");
        match users.user("ada").await {
            Ok(person) => assert_eq!((person.user, person.workspaces), (ada.user, ada.workspaces), "a user by id"),
            Err(refusal) => missing(refusal),
        }
        for (id, expected) in [("nobody", Reason::UnknownUser), ("banned", Reason::Banned)] {
            let answer = users.user(id).await;
            assert!(matches!(&answer, Err(Refusal::Invalid(reason)) if *reason == expected), "{id}: {answer:?}");
        }
    }

    /// Of those whom the others left behind.
    async fn many_are_what_each_is(&self) {
        let Some(recheck) = self.source.recheck() else { return };
        let people = ["ada", "bob", "late", "gone", "banned", "mover", "nobody"];
        let ids = people.map(|id| somebody(id).session.id);
        let found = recheck.sessions(&ids.each_ref().map(String::as_str)).await.unwrap_or_else(missing);
        assert!(found.keys().all(|id| ids.contains(id)), "only those who were asked about: {found:?}");
        for (person, id) in people.into_iter().zip(&ids) {
            let alone = self.session(&token(&somebody(person))).await;
            match (found.get(id), alone) {
                (Some(Ok(one)), Ok(other)) => assert_eq!(*one, other, "one of many is as alone"),
                (Some(Err(_)) | None, Err(Refusal::Invalid(_))) => {}
                (together, alone) => panic!("{person} is {together:?} among many and {alone:?} alone"),
            }
        }
        let found = recheck.users(&people).await.unwrap_or_else(missing);
        let well: HashSet<_> = found.iter().filter(|(_, person)| person.is_ok()).map(|(id, _)| id.as_str()).collect();
        assert!(well.contains("ada") && !well.contains("banned") && !found.contains_key("nobody"), "{found:?}");
    }

    async fn an_outage_is_no_refusal(&self) {
        let ada = somebody("ada");
        self.store.sign_in(&token(&ada), &ada).await;
        self.store.set_down(true).await;
        for token in [token(&ada), "nobody".to_owned()] {
            let start = Instant::now();
            let answer = self.session(&token).await;
            assert!(matches!(answer, Err(Refusal::Unknown(_))), "nobody can know: {answer:?}");
            assert!(start.elapsed() < BOUND, "an outage took {:?} to notice", start.elapsed());
        }
        if let Some(recheck) = self.source.recheck() {
            let answer = recheck.sessions(&[&ada.session.id]).await;
            assert!(matches!(answer, Err(Refusal::Unknown(_))), "nobody can know of many: {answer:?}");
        }
        if let Some(users) = self.source.users() {
            let answer = users.user("ada").await;
            assert!(matches!(answer, Err(Refusal::Unknown(_))), "nobody can know a user: {answer:?}");
        }
        self.store.set_down(false).await;
        let back = Instant::now();
        loop {
            match self.session(&token(&ada)).await {
                Ok(identity) => return assert_eq!(identity, ada, "as before the outage"),
                Err(Refusal::Unknown(_)) if back.elapsed() < RECOVERY => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(refusal) => missing(refusal),
            }
        }
    }

    async fn session(&self, token: &str) -> Result<Identity, Refusal> {
        let secret = SecretString::from(self.store.secret());
        let signed = Signer::new(&secret).ok().map(|signer| signer.sign(token));
        let token = SessionToken { token, signed: signed.as_deref(), carrier: Carrier::Bearer, client: None };
        self.source.session(token).await
    }
}

/// Of the kind that Better Auth makes.
fn token(person: &Identity) -> String {
    format!("acceptance-token-of-{}", person.user.id)
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "as `unwrap_or_else` wants it")]
fn missing<T>(refusal: Refusal) -> T {
    panic!("an answer was expected, and not {refusal:?}")
}
