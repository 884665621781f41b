//! Keyset paging over time of creation and id, newest first.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Most items of one page.
pub const MAX_PAGE: u32 = 100;
/// Items of a page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 50;

/// Where a list goes on: opaque text to clients, made by [`Page::next`].
///
/// It names the place of the last item that was seen, so that a list neither repeats nor skips when things are added or
/// removed between two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) id: Uuid,
}

/// The text is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a cursor from an earlier answer")]
pub struct InvalidCursor;

impl Cursor {
    /// Before everything.
    pub(crate) const START: Self = Self { created_at: DateTime::<Utc>::MAX_UTC, id: Uuid::max() };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.created_at.timestamp_micros(), self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (time, id) = text.split_at_checked(16)?;
            let cursor = Self {
                created_at: DateTime::from_timestamp_micros(i64::from_str_radix(time, 16).ok()?)?,
                id: Uuid::try_parse(id).ok()?,
            };
            // Numbers and ids have several spellings; a cursor has one.
            (cursor.to_string() == text).then_some(cursor)
        };
        parse().ok_or(InvalidCursor)
    }
}

/// A stretch of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page starts; none when this is the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    pub(crate) const EMPTY: Self = Self { items: Vec::new(), next: None };

    /// A page of at most `limit` from one item more than that, which shows that there is a next page.
    pub(crate) fn from_surplus(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}
