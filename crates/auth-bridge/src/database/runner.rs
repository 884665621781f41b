//! What runs the statements: the caller's own pool.

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::Cause;

/// How long `deadpool_postgres::Pool` may take for a connection, and then for the answer: together what
/// [`DatabaseSource`](crate::DatabaseSource) waits for.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A statement of the [`DatabaseSource`](crate::DatabaseSource)'s. It reads and has one parameter, `$1`.
#[derive(Debug)]
pub struct Statement {
    /// A name for metrics; also the comment in its first line.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
    /// The type of the parameter.
    pub parameter: Type,
}

/// The rows of a statement, or why there are none.
pub type Rows<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Cause>> + Send + 'a>>;

/// Something that runs statements on the database with Sim's tables. `deadpool_postgres::Pool` is one, whatever it
/// was configured with; implement it for another pool.
///
/// The pool's own role needs SELECT and nothing else. A [`Cause`] for which the database itself is not to blame, a
/// missing table for instance, is marked as an [answer](Cause::as_answer). What takes longer than 5 s is dropped.
pub trait Database: Send + Sync {
    /// The rows of the statement.
    fn query<'a>(&'a self, statement: &'static Statement, parameter: &'a (dyn ToSql + Sync)) -> Rows<'a>;

    /// Told once what is going to be run, for those who keep metrics by statement.
    fn announce(&self, statements: &[&'static Statement]) {
        let _ = statements;
    }
}

/// Nothing is prepared, so that neither a changed schema nor a pooler in between matters.
impl Database for Pool {
    fn query<'a>(&'a self, statement: &'static Statement, parameter: &'a (dyn ToSql + Sync)) -> Rows<'a> {
        Box::pin(async move {
            let late = || Cause::new("Sim's tables: no answer in time");
            let client = timeout(PATIENCE, self.get()).await.map_err(|_| late())?;
            let client = client.map_err(|error| Cause::with_error("Sim's tables", error))?;
            let parameters = [(parameter, statement.parameter.clone())];
            match timeout(PATIENCE, client.query_typed(statement.sql, &parameters)).await {
                Ok(rows) => rows.map_err(cause),
                Err(_) => {
                    // Whoever got it next would wait for the same answer.
                    drop(Object::take(client));
                    Err(late())
                }
            }
        })
    }
}

/// A database that says no is there, unless it says "not now": connection trouble, conflicts, locks, no resources,
/// operators, disks (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn cause(error: tokio_postgres::Error) -> Cause {
    let class = error.code().and_then(|code| code.code().get(..2));
    let is_answer = class.is_some_and(|class| !matches!(class, "08" | "25" | "40" | "53" | "55" | "57" | "58"));
    let cause = Cause::with_error("Sim's tables", error);
    if is_answer { cause.as_answer() } else { cause }
}
