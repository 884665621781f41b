//! Every statement of this crate, and nothing else: one table, so that each can be explained by a test.
//!
//! # Lists
//! A list takes its page from an index that has its order, and stops. PostgreSQL must not think of another way, however
//! few rows it expects and however many there are: busy workspaces hide among quiet ones in its statistics. Therefore
//! - the order is `created_at, id`, which one index alone has for the columns that are given: the order `id` could
//!   also be had from the primary key, by passing over everybody else's rows;
//! - parameters stand in a sub-select, `limit (select $3)`, which hides their values: expecting fewer rows than a page,
//!   PostgreSQL would rather collect and sort them;
//! - a sub-select ends in `offset 0` where it must be run as it stands.

use parlant_db_pool::Query;

pub(crate) mod agents;
pub(crate) mod delivery;
pub(crate) mod messages;
pub(crate) mod reaper;
pub(crate) mod sessions;
pub(crate) mod usage;

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
    [agents::ALL, sessions::ALL, messages::ALL, delivery::ALL, reaper::ALL, usage::ALL].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_statement_has_a_name_a_workspace_and_named_columns() {
        let statements = super::all();
        let names: BTreeSet<_> = statements.iter().map(|query| query.name).collect();
        assert_eq!(names.len(), statements.len());
        for query in statements {
            let sql = query.sql;
            assert!(sql.starts_with(&format!("-- {}\n", query.name)), "{sql}");
            for unwanted in ["select *", ".*", "returning *", "delete "] {
                assert!(!sql.contains(unwanted), "{unwanted} in {sql}");
            }
            let is_everybodys = query.name.contains("lock") || query.name == "count_usage";
            assert!(is_everybodys || sql.contains("workspace_id"), "{sql}");
            let parameters = (1..=query.types.len()).map(|number| format!("${number}"));
            for parameter in parameters {
                assert!(sql.contains(&parameter), "{parameter} in {sql}");
            }
            assert!(!sql.contains(&format!("${}", query.types.len() + 1)), "{sql}");
        }
    }
}
