//! Where sessions are looked up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;

use crate::{Carrier, Identity, Reason, Refusal, Session, User, Workspace};

/// The pending answer of a source.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// A session token as a source is asked about it.
#[derive(Clone, Copy)]
pub struct SessionToken<'a> {
    /// The session's token, without a signature.
    pub token: &'a str,
    /// `token.signature`: as it was presented, or made with the secret for a source that
    /// [reads it](Source::reads_signature), which therefore always finds one.
    pub signed: Option<&'a str>,
    /// How it came.
    pub carrier: Carrier,
    /// The address of the client that presented it, where the caller told.
    pub client: Option<IpAddr>,
}

/// A person without a session: what a JWT's subject is turned into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The user, not banned.
    pub user: User,
    /// The workspaces that the user may enter.
    pub workspaces: Vec<Workspace>,
}

/// Something that knows Sim's sessions. Implement it to link the bridge to another store.
///
/// The rules, which the bridge relies on:
/// - "There is no such session" is [`Refusal::Invalid`]; "I could not find out" is [`Refusal::Unknown`], and so is
///   every answer that could mean either. An identity with its workspaces left out because they could not be read
///   is not an answer.
/// - It has time limits of its own: the bridge waits as long as the source does.
/// - A [`Cause`](crate::Cause) that says nothing about other credentials is marked as an
///   [answer](crate::Cause::as_answer). Of others, three in a row make the bridge ask rarely until an answer comes.
/// - It does not cache.
pub trait Source: Send + Sync {
    /// The value of the `source` label in `parlant_auth_validations_total`.
    fn label(&self) -> &'static str;

    /// Whom the session token stands for.
    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity>;

    /// Whether the answer depends on [`SessionToken::signed`] and not on the token alone. The cache must then
    /// tell signatures apart that were not checked before.
    fn reads_signature(&self) -> bool {
        false
    }

    /// The same source as one that finds users by id, if it can. Without it there are no JWTs.
    fn users(&self) -> Option<&dyn Users> {
        None
    }

    /// The same source as one that can be asked about many at once, if it can. Without it, what is remembered is
    /// believed until its time is up.
    fn recheck(&self) -> Option<&dyn Recheck> {
        None
    }
}

/// What a source says of many at once, by id. Who is not named is gone.
pub type Found<T> = HashMap<String, Result<T, Reason>>;

/// Something that says of many at once whether they still hold. Its answers must be those that [`Source::session`]
/// and [`Users::user`] would give.
pub trait Recheck: Send + Sync {
    /// Whom the sessions with these ids stand for now.
    fn sessions<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Identity>>;

    /// Who the users with these ids are now.
    fn users<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Person>>;
}

/// Something that finds a user by id.
pub trait Users: Send + Sync {
    /// The user with that id, or [`Reason::UnknownUser`](crate::Reason), or [`Reason::Banned`](crate::Reason).
    fn user<'a>(&'a self, user_id: &'a str) -> Answer<'a, Person>;
}

/// Something that checks JWTs.
pub trait Verifier: Send + Sync {
    /// Whom the token speaks for, once its signature and all its claims are checked.
    fn verify<'a>(&'a self, token: &'a str) -> Answer<'a, Subject>;
}

/// What a checked JWT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `sub`: the id of a user of Sim's.
    pub user_id: String,
    /// The session that the token stands for.
    pub session: Session,
}
