use std::fmt;

use parlant_auth_bridge::Permission;

/// Why an operation did not happen. Nothing was changed when one of these is returned, except that the outcome of
/// [`Error::Database`] is not known when the connection was lost in the middle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such agent, or one that the caller may not see.
    #[error("no such agent")]
    AgentNotFound,
    /// No such session, or one that the caller may not see.
    #[error("no such session")]
    SessionNotFound,
    /// Another active agent of the workspace has this name.
    #[error("another agent of the workspace has this name")]
    AgentNameTaken,
    /// The session has ended and takes no more messages.
    #[error("the session has ended")]
    SessionEnded,
    /// The agent is no longer at the version that the caller knows.
    #[error("the agent has changed and is now at version {current}")]
    VersionConflict {
        /// The version that the agent has now.
        current: i32,
    },
    /// The idempotency key was used in this session for another message.
    #[error("the idempotency key belongs to another message")]
    IdempotencyMismatch,
    /// The caller can see what it asked for, and may not do this to it.
    #[error("the caller needs {required} permission in the workspace")]
    PermissionDenied {
        /// The workspace, as the caller named it or of a thing that the caller may see.
        workspace_id: String,
        /// What the caller would have to hold there.
        required: Permission,
    },
    /// The workspace has all the active agents that it may have.
    #[error("the workspace has {max} active agents, the most it may have")]
    AgentLimit {
        /// The limit.
        max: u32,
    },
    /// The user has all the active sessions that a user may have.
    #[error("the user has {max} active sessions, the most a user may have")]
    SessionLimit {
        /// The limit.
        max: u32,
    },
    /// The request breaks the rules of one or more fields.
    #[error("{0}")]
    Invalid(FieldErrors),
    /// A row holds what this version cannot read.
    #[error("unreadable row of {table}")]
    UnreadableRow {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database refused, failed or could not be reached.
    #[error(transparent)]
    Database(#[from] parlant_db_pool::Error),
}

/// What kind of answer an [`Error`] calls for. One rule for status, log level and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It does not exist for this caller.
    NotFound,
    /// The state forbids it.
    Conflict,
    /// The caller's precondition does not hold.
    Precondition,
    /// The caller lacks a permission.
    Denied,
    /// A limit is reached.
    Limit,
    /// The request is wrong and will stay so.
    Invalid,
    /// Not now; the same request may succeed later.
    Unavailable,
    /// A defect.
    Internal,
}

impl Error {
    /// The kind of answer that this error calls for.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::AgentNotFound | Self::SessionNotFound => Class::NotFound,
            Self::AgentNameTaken | Self::SessionEnded => Class::Conflict,
            Self::VersionConflict { .. } => Class::Precondition,
            Self::PermissionDenied { .. } => Class::Denied,
            Self::AgentLimit { .. } | Self::SessionLimit { .. } => Class::Limit,
            Self::Invalid(_) | Self::IdempotencyMismatch => Class::Invalid,
            Self::UnreadableRow { .. } => Class::Internal,
            Self::Database(error) => match error.class() {
                parlant_db_pool::Class::Transient => Class::Unavailable,
                parlant_db_pool::Class::Permanent => Class::Internal,
            },
        }
    }
}

/// The fields that are wrong, each with what is expected of it. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

/// One field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The field's name as clients write it.
    pub field: &'static str,
    /// What is expected, for people; never the value.
    pub message: String,
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldError { field, message }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {message}")?;
        }
        Ok(())
    }
}
