//! Every statement of this crate, and nothing else: one table, so that each can be explained by a test.
//!
//! In lists, parameters stand in a sub-select: `limit (select $3)`. That hides their values from the planner, which
//! then has one plan for a busy workspace and a quiet one: the walk along the index that has the right order. Told the
//! value, or a limit above the average number of rows, it prefers to collect and sort all rows of the busy one.

use parlant_db_pool::Query;

pub(crate) mod agents;
pub(crate) mod messages;
pub(crate) mod reaper;
pub(crate) mod sessions;

/// Declares statements, and the list `ALL` of them. The first line of each is its name, so that the database's own
/// views name the function behind a statement.
macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident = $label:literal [$($type:ident),*] $($sql:expr),+;)+) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: parlant_db_pool::Query = parlant_db_pool::Query {
                name: $label,
                sql: concat!("-- ", $label, "\n", $($sql),+),
                types: &[$(parlant_db_pool::Type::$type),*],
            };
        )+
        pub(super) static ALL: &[&parlant_db_pool::Query] = &[$(&$name),+];
    };
}
pub(crate) use queries;

/// Every statement.
pub(crate) fn all() -> Vec<&'static Query> {
    [agents::ALL, sessions::ALL, messages::ALL, reaper::ALL].concat()
}
