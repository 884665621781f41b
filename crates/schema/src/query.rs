use parlant_db_pool::{Query, Row, ToSql};
use tokio_postgres::{GenericClient, types::Type};

/// Runs a query without preparing it first, so that it works through any pooler and in any transaction.
pub(crate) async fn rows(
    client: &impl GenericClient,
    query: &'static Query,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let typed: Vec<(&(dyn ToSql + Sync), Type)> = values.iter().copied().zip(query.types.iter().cloned()).collect();
    client.query_typed(query.sql, &typed).await
}

/// The one value of the one row of a query that always has one.
pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(
    client: &impl GenericClient,
    query: &'static Query,
) -> Result<T, tokio_postgres::Error> {
    client.query_typed_one(query.sql, &[]).await?.try_get(0)
}
