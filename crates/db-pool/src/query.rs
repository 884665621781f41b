use tokio_postgres::types::Type;

/// One SQL statement, declared as a `static` next to the function that runs it.
///
/// ```
/// use parlant_db_pool::{Query, Type};
///
/// static AGENT_NAME: Query = Query {
///     name: "agent_name",
///     sql: "-- agent_name\nselect name from parlant_agent where id = $1 and workspace_id = $2",
///     types: &[Type::UUID, Type::TEXT],
/// };
/// ```
#[derive(Debug)]
pub struct Query {
    /// The function's name: the `query` label of the duration metric, and the SQL's first comment line.
    pub name: &'static str,
    /// The text, with `$1`, `$2`, … for parameters.
    pub sql: &'static str,
    /// The parameters' types, one for each, in order. They are sent with the text, so that a statement also runs without
    /// being prepared first (behind a transaction-pooling `PgBouncer`).
    pub types: &'static [Type],
}
