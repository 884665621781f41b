use std::collections::VecDeque;
use std::time::Duration;

use parlant_db_pool::Query;
use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use refinery_core::{AsyncMigrate, Runner, Target};
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient};

use crate::apply::Ran;
use crate::error::{DatabaseError, Error};
use crate::lock;
use crate::migrations::{Migrations, Version};
use crate::observe::Witness;
use crate::{query, sql};

/// The first pause after a try that could not lock its tables; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

static INVALID_INDEX: Query = Query {
    name: "invalid_index",
    sql: "-- invalid_index
select exists (
  select from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  where c.relnamespace = 'public'::regnamespace and c.relname = $1 and not i.indisvalid
)",
    types: &[tokio_postgres::types::Type::NAME],
};

/// Nobody but the owner may write the history, whatever default privileges gave away when it was made.
const REVOKE_WRITES: &str = "-- revoke_history_writes
do $$
declare
  given record;
begin
  for given in
    select case when a.grantee = 0 then 'public' else quote_ident(r.rolname) end as grantee, a.privilege_type
    from pg_catalog.pg_class c
    cross join lateral pg_catalog.aclexplode(c.relacl) a
    left join pg_catalog.pg_roles r on r.oid = a.grantee
    where c.oid = 'public.parlant_migrations'::regclass
      and a.grantee <> c.relowner and a.privilege_type <> 'SELECT'
      and pg_catalog.pg_has_role(c.relowner, 'USAGE')
  loop
    execute format('revoke %s on public.parlant_migrations from %s', given.privilege_type, given.grantee);
  end loop;
end
$$";

/// How long to try to lock what a file changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// One try. Everybody who comes after us waits behind us that long.
    pub(crate) lock_timeout: Duration,
    /// All tries together; also one wait of a `-- no-transaction` file, which nobody queues behind.
    pub(crate) total: Duration,
}

/// The connection that refinery drives. It differs from refinery's own in three ways: `-- no-transaction` files
/// run without BEGIN, a file whose tables are in use is tried again, and nothing runs once the lock is lost.
pub(crate) struct Session<'a> {
    client: &'a mut Client,
    patience: Patience,
    /// A scratch database is nobody else's, so its session holds no lock.
    scratch: bool,
    witness: Option<&'a mut Witness>,
    /// The files that refinery is about to hand over, in order.
    queue: VecDeque<Version>,
    ran: Vec<Ran>,
    problem: Option<Error>,
}

impl<'a> Session<'a> {
    /// Prepares a connection: names resolve to `public`, and only the runner's own time limits count.
    pub(crate) async fn prepare(
        client: &'a mut Client,
        patience: Patience,
        scratch: bool,
    ) -> Result<Self, tokio_postgres::Error> {
        client
            .batch_execute(
                "-- prepare_session
set search_path to public; set statement_timeout to 0; set idle_in_transaction_session_timeout to 0",
            )
            .await?;
        // A killed run would otherwise keep its lock until its statement ends. Not every platform's server can look.
        let _ = client.batch_execute("-- prepare_session\nset client_connection_check_interval to '1s'").await;
        Ok(Self { client, patience, scratch, witness: None, queue: VecDeque::new(), ran: Vec::new(), problem: None })
    }

    /// Lets a second session see which locks each file takes.
    pub(crate) fn watched_by(mut self, witness: &'a mut Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Runs the `pending` files up to `target` and says what ran.
    pub(crate) async fn run(
        mut self,
        migrations: &Migrations,
        pending: &[Version],
        target: Target,
    ) -> Result<Vec<Ran>, Error> {
        self.queue = pending.iter().cloned().collect();
        let mut runner = Runner::new(migrations.files()).set_target(target);
        runner.set_migration_table_name("public.parlant_migrations");
        match runner.run_async(&mut self).await {
            Ok(_) => Ok(self.ran),
            Err(other) => Err(self.problem.take().unwrap_or_else(|| Error::Refinery(other.to_string()))),
        }
    }

    /// One step of refinery's: a file with its history row behind it, or the making of the history table.
    async fn step(&mut self, queries: &[&str]) -> Result<(), Error> {
        let [text, row @ ..] = queries else {
            return Ok(());
        };
        if row.is_empty() {
            return Ok(self.client.batch_execute(text).await?);
        }
        let Some(file) = self.queue.pop_front() else {
            return Err(Error::Refinery("it runs a file that was not pending".to_owned()));
        };
        let verb = if self.scratch { "Trying" } else { "Applying" };
        tracing::info!("{verb} {file}");
        if let Some(witness) = &mut self.witness {
            witness.look_before().await?;
        }
        let started = Instant::now();
        if sql::is_no_transaction(text) {
            self.without_transaction(text, row, &file).await?;
        } else {
            self.in_transaction(queries, &file).await?;
        }
        self.ran.push(Ran::new(file, started.elapsed()));
        if let Some(witness) = &mut self.witness {
            witness.look_after().await?;
        }
        Ok(())
    }

    async fn lock_timeout(&self, limit: Duration) -> Result<(), tokio_postgres::Error> {
        // At least 1: 0 would mean without limit.
        let limit = limit.as_millis().max(1);
        self.client.batch_execute(&format!("-- lock_timeout\nset lock_timeout to {limit}")).await
    }

    /// A file and its history row, both or neither.
    async fn in_transaction(&mut self, queries: &[&str], file: &Version) -> Result<(), Error> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        self.lock_timeout(self.patience.lock_timeout).await?;
        loop {
            tries += 1;
            match self.try_in_transaction(queries, file).await {
                Err(Error::Failed { cause, .. }) if is_conflict(&cause) => {
                    let holders = lock::holders_of_tables(self.client).await?;
                    let waited = started.elapsed();
                    if waited + pause >= self.patience.total {
                        return Err(Error::Blocked { migration: file.clone(), tries, waited, holders });
                    }
                    let holder = holders.first().map(ToString::to_string);
                    let holder = holder.map_or(String::new(), |name| format!("{name} is in the way; "));
                    tracing::warn!("{file}, try {tries}: {cause}; {holder}again in {pause:?}");
                }
                done => return done,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_in_transaction(&mut self, queries: &[&str], file: &Version) -> Result<(), Error> {
        let scratch = self.scratch;
        let transaction = self.client.transaction().await?;
        if !scratch {
            hold_lock(&transaction, file).await?;
        }
        for query in queries {
            transaction.batch_execute(query).await.map_err(|error| failed(file, error, query))?;
        }
        if let Some(witness) = &mut self.witness {
            witness.look_inside(&transaction).await?;
        }
        transaction.commit().await.map_err(|error| failed(file, error, ""))
    }

    /// The one statement of a `-- no-transaction` file, then its history row. Killed in between, the statement
    /// runs again.
    async fn without_transaction(&mut self, text: &str, row: &[&str], file: &Version) -> Result<(), Error> {
        let started = Instant::now();
        if !self.scratch {
            hold_lock(&*self.client, file).await?;
        }
        self.lock_timeout(self.patience.total).await?;
        let statements = sql::statements(text);
        let index = statements.first().and_then(|one| sql::concurrent_index(one)).and_then(|index| index.name);
        let mut ran = match &index {
            Some(index) => self.drop_if_invalid(index).await,
            None => Ok(()),
        };
        if ran.is_ok() {
            ran = match &mut self.witness {
                Some(witness) => {
                    let statement = self.client.batch_execute(text);
                    witness.look_from_outside(statement).await?
                }
                None => self.client.batch_execute(text).await,
            };
        }
        if let Err(error) = ran {
            // An INVALID index costs every write its upkeep and, if unique, refuses rows. The next run would drop
            // it, too; this error matters more than one from tidying up.
            if let Some(index) = &index {
                let _ = self.drop_if_invalid(index).await;
            }
            let cause = DatabaseError::from(error).in_file(text);
            if is_conflict(&cause) {
                return Err(Error::Blocked {
                    migration: file.clone(),
                    tries: 1,
                    waited: started.elapsed(),
                    holders: lock::holders_of_tables(self.client).await?,
                });
            }
            return Err(Error::Failed { migration: file.clone(), cause: Box::new(cause) });
        }
        for query in row {
            self.client.batch_execute(query).await.map_err(|error| failed(file, error, query))?;
        }
        Ok(())
    }

    /// What a killed `CREATE INDEX CONCURRENTLY` leaves: an index that `IF NOT EXISTS` would take for the real one.
    async fn drop_if_invalid(&self, index: &str) -> Result<(), tokio_postgres::Error> {
        let invalid = query::rows(&*self.client, &INVALID_INDEX, &[&index]).await?;
        if invalid.first().is_some_and(|row| row.get(0)) {
            tracing::warn!("Dropping the INVALID index {index} that an unfinished run left behind");
            let quoted = index.replace('"', "\"\"");
            self.client
                .batch_execute(&format!("-- drop_if_invalid\ndrop index concurrently if exists public.\"{quoted}\""))
                .await?;
        }
        Ok(())
    }
}

fn failed(file: &Version, error: tokio_postgres::Error, text: &str) -> Error {
    Error::Failed { migration: file.clone(), cause: Box::new(DatabaseError::from(error).in_file(text)) }
}

/// Whether somebody else was in the way, so that another try may succeed.
fn is_conflict(cause: &DatabaseError) -> bool {
    cause.is(&[SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED])
}

/// Refuses to go on without the migration lock.
async fn hold_lock(client: &impl GenericClient, file: &Version) -> Result<(), Error> {
    if lock::still_held(client).await? {
        return Ok(());
    }
    Err(Error::Stopped {
        migration: file.clone(),
        reason: "this session does not hold the migration lock any more; give a direct connection, not one \
                 through a transaction-pooling PgBouncer",
    })
}

/// What refinery sees of an error: it keeps what it is given, so the session keeps the error itself.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(crate) struct Halt;

impl AsyncTransaction for Session<'_> {
    type Error = Halt;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(&'a mut self, queries: T) -> Result<usize, Halt> {
        let queries: Vec<&str> = queries.collect();
        match self.step(&queries).await {
            Ok(()) => Ok(queries.len()),
            Err(problem) => {
                self.problem = Some(problem);
                Err(Halt)
            }
        }
    }
}

impl AsyncQuery<Vec<refinery_core::Migration>> for Session<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<refinery_core::Migration>, Halt> {
        AsyncQuery::query(self.client, query).await.map_err(|problem| {
            self.problem = Some(problem.into());
            Halt
        })
    }
}

impl AsyncMigrate for Session<'_> {
    fn assert_migrations_table_query(name: &str) -> String {
        format!("{};\n{REVOKE_WRITES}", <Client as AsyncMigrate>::assert_migrations_table_query(name))
    }
}
