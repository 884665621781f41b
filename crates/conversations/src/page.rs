//! Keyset paging over ids, newest first.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Most items of one page.
pub const MAX_PAGE: u32 = 100;
/// Items of a page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 50;

/// Where a list goes on: opaque text to clients, made by [`Page::next`].
///
/// It names the last item that was seen, so that a list neither repeats nor skips when things are added or removed
/// between two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(crate) Uuid);

/// The text is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a cursor from an earlier answer")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        // `Uuid` reads several spellings; a cursor has one.
        let id = Uuid::try_parse(text).map_err(|_| InvalidCursor)?;
        let cursor = Self(id);
        (cursor.to_string() == text)
            .then_some(cursor)
            .ok_or(InvalidCursor)
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

/// The first id of the list that `cursor` continues is the one below this.
pub(crate) fn before(cursor: Option<Cursor>) -> Uuid {
    cursor.map_or(Uuid::max(), |cursor| cursor.0)
}

impl<T> Page<T> {
    pub(crate) const EMPTY: Self = Self {
        items: Vec::new(),
        next: None,
    };

    /// A page of at most `limit` from one item more than that, which shows that there is a next page.
    pub(crate) fn from_surplus(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> Uuid) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|item| Cursor(id(item)));
        Self { items, next }
    }
}
