use std::collections::BTreeSet;
use std::pin::Pin;

use crate::Key;

/// What replicas agree by on who of them tells of an alert.
///
/// Each alert has at most one holder. A holder that dies loses its claims, and another gets them.
pub trait Claims: Send + 'static {
    /// Claims exactly `wanted` from now on and lets go of everything else; gives back those that somebody else holds.
    ///
    /// When nobody can tell, the answer is that nobody does: to be told twice is better than not at all.
    fn hold<'a>(&'a mut self, wanted: &'a [Key]) -> Holding<'a>;
}

/// A claim under way. It is dropped after a few seconds, and then nobody holds anything.
pub type Holding<'a> = Pin<Box<dyn Future<Output = BTreeSet<Key>> + Send + 'a>>;

/// The claims of a process that has no replicas.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Claims for Alone {
    fn hold<'a>(&'a mut self, _: &'a [Key]) -> Holding<'a> {
        Box::pin(async { BTreeSet::new() })
    }
}
