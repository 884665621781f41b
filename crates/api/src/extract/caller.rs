use std::marker::PhantomData;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use parlant_auth_bridge::actix as auth;
use parlant_auth_bridge::{Credential, Identity, Permission, Session, User, Verdict, Workspace};
use parlant_conversations::{Actor, Class, Error};

use super::conditions::IDEMPOTENCY_KEY;
use crate::rate_limit::Admission;
use crate::{ApiError, State};

/// Who calls, as [`FromCaller`] found out. To touch what belongs to a workspace, a handler asks for [`access`](Self::access) to it; to touch what
/// the workspaces of the caller hold together, it acts [`everywhere`](Self::everywhere).
#[derive(Debug, Clone)]
pub struct Authenticated(Arc<Identity>);

/// Who calls, and what that caller sends: read only once it is known who calls. actix would extract them side by side,
/// and whether a stranger is told 401 or what is wrong with the body would depend on which is found out first.
#[derive(Debug)]
pub struct FromCaller<T>(pub Authenticated, pub T);

/// Who calls, if the request presents a credential at all. A bad one is refused.
#[derive(Debug, Clone)]
pub struct MaybeAuthenticated(pub Option<Authenticated>);

impl Authenticated {
    /// The caller as a person.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.0.user
    }

    /// The sign-in that was presented.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    /// The workspaces that the caller may enter.
    #[must_use]
    pub fn workspaces(&self) -> &[Workspace] {
        &self.0.workspaces
    }

    /// The caller within one workspace, with at least the permission `P` there.
    ///
    /// # Errors
    /// [`ApiError::WorkspaceAccessDenied`], whether the caller may not or there is no such workspace.
    pub fn access<P: Level>(&self, workspace_id: &str) -> Result<WorkspaceAccess<'_, P>, ApiError> {
        let workspace = self.0.workspace(workspace_id);
        match workspace.filter(|workspace| workspace.permission >= P::PERMISSION) {
            Some(workspace) => {
                in_workspace(&workspace.id);
                Ok(WorkspaceAccess { user: &self.0.user, workspace, level: PhantomData })
            }
            None => Err(self.denied(workspace_id.to_owned(), P::PERMISSION)),
        }
    }

    /// The caller in all workspaces that it may enter, with its permission in each.
    #[must_use]
    pub fn everywhere(&self) -> Actor<'_> {
        Actor::from(&*self.0)
    }

    /// The caller as a reader of one workspace, or of all when none is named.
    ///
    /// # Errors
    /// As [`access`](Self::access).
    pub(crate) fn reading(&self, workspace_id: Option<&str>) -> Result<Actor<'_>, ApiError> {
        match workspace_id {
            Some(id) => Ok(self.access::<Read>(id)?.actor()),
            None => Ok(self.everywhere()),
        }
    }

    /// How a client is told that the domain refused what this caller asked.
    pub(crate) fn failed(&self, error: Error) -> ApiError {
        match error {
            Error::PermissionDenied { workspace_id, required } => self.denied(workspace_id, required),
            Error::AgentNotFound => ApiError::AgentNotFound,
            Error::SessionNotFound => ApiError::SessionNotFound,
            Error::AgentNameTaken => ApiError::AgentNameTaken,
            Error::SessionEnded => ApiError::SessionEnded,
            Error::VersionConflict { .. } => ApiError::VersionConflict,
            Error::IdempotencyMismatch => ApiError::field(IDEMPOTENCY_KEY, "was used for another message"),
            Error::AgentLimit { max } | Error::SessionLimit { max } => ApiError::LimitExceeded { limit: max.into() },
            Error::Invalid(fields) => ApiError::InvalidRequest(fields.into()),
            error if error.class() == Class::Unavailable => ApiError::Unavailable(error.into()),
            error => ApiError::Internal(error.into()),
        }
    }

    fn denied(&self, workspace_id: String, required: Permission) -> ApiError {
        ApiError::WorkspaceAccessDenied { workspace_id, user_id: self.0.user.id.clone(), required }
    }
}

/// Notes in the log's context which workspace the request works in.
pub(crate) fn in_workspace(workspace_id: &str) {
    tracing::Span::current().record("workspace_id", workspace_id);
}

/// A permission as a type.
pub trait Level {
    /// The permission.
    const PERMISSION: Permission;
}

/// May look.
#[derive(Debug, Clone, Copy)]
pub enum Read {}
/// May also change.
#[derive(Debug, Clone, Copy)]
pub enum Write {}
/// May also manage what others made.
#[derive(Debug, Clone, Copy)]
pub enum Admin {}

impl Level for Read {
    const PERMISSION: Permission = Permission::Read;
}
impl Level for Write {
    const PERMISSION: Permission = Permission::Write;
}
impl Level for Admin {
    const PERMISSION: Permission = Permission::Admin;
}

/// Proof that the caller holds at least the permission `P` in a workspace. Only
/// [`Authenticated::access`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct WorkspaceAccess<'a, P> {
    user: &'a User,
    workspace: &'a Workspace,
    level: PhantomData<P>,
}

impl<'a, P> WorkspaceAccess<'a, P> {
    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> &'a Workspace {
        self.workspace
    }

    /// The caller, confined to the workspace.
    #[must_use]
    pub fn actor(&self) -> Actor<'a> {
        let grant = (self.workspace.id.as_str(), self.workspace.permission);
        Actor::new(&self.user.id, [grant])
    }
}

impl<T: FromRequest + 'static> FromRequest for FromCaller<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = caller(request);
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let caller = caller.await?.ok_or(ApiError::AuthenticationRequired)?;
            let input = T::from_request(&request, &mut payload).await;
            Ok(Self(caller, input.map_err(Into::into)?))
        })
    }
}

impl FromRequest for MaybeAuthenticated {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = caller(request);
        Box::pin(async move { caller.await.map(Self) })
    }
}

/// What a credential is worth, unless the address of the request has presented too many that are worth nothing.
pub(crate) async fn judge(
    state: &State,
    admission: Option<&Admission>,
    credential: &Credential,
) -> Result<Verdict, ApiError> {
    let key = admission.map(|admission| admission.inquire(credential)).transpose()?;
    let verdict = state.auth.authenticate(credential).await;
    if let Some((admission, key)) = admission.zip(key) {
        admission.learn(key, &verdict);
    }
    Ok(verdict)
}

fn caller(request: &HttpRequest) -> impl Future<Output = Result<Option<Authenticated>, ApiError>> + use<> {
    let asked = auth::credential(request).zip(State::of(request));
    let admission = Admission::of(request);
    async move {
        let Some((credential, state)) = asked else {
            return Ok(None);
        };
        match judge(&state, admission.as_deref(), &credential).await? {
            Verdict::Valid(identity) => {
                tracing::Span::current().record("user_id", &*identity.user.id);
                Ok(Some(Authenticated(identity)))
            }
            Verdict::Invalid(reason) => Err(ApiError::InvalidToken(reason)),
            Verdict::Unknown(cause) => Err(cause.into()),
        }
    }
}
