use parlant_auth_bridge::{Cause, Database, Rows, Statement};
use parlant_db_pool::{Class, Pool, Query, ToSql};

/// The house's pool as the source of sessions reads from it, like that of `parlant-admission`. Taken from there, it would
/// switch on the features of the auth crate whose tests run each of them alone.
pub struct SimTables(pub Pool);

impl Database for SimTables {
    fn query<'a>(&'a self, statement: &'static Statement, parameter: &'a (dyn ToSql + Sync)) -> Rows<'a> {
        Box::pin(async move {
            self.0.query(&query(statement), &[parameter]).await.map_err(|error| {
                let is_answer = error.class() == Class::Permanent;
                let cause = Cause::with_error("Sim's tables", error);
                if is_answer { cause.as_answer() } else { cause }
            })
        })
    }

    fn announce(&self, statements: &[&'static Statement]) {
        let queries: Vec<_> = statements.iter().map(|statement| query(statement)).collect();
        self.0.announce(&queries.iter().collect::<Vec<_>>());
    }
}

fn query(statement: &'static Statement) -> Query {
    Query { name: statement.name, sql: statement.sql, types: std::slice::from_ref(&statement.parameter) }
}
