use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient};

use crate::apply::{ApplyOptions, Ran};
use crate::error::{DatabaseError, Error};
use crate::lock;
use crate::migrations::{File, Version};
use crate::observe::Witness;
use crate::sql::{self, Statement};

/// The first pause after a try that could not lock its tables; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const INVALID_INDEX: &str = "-- invalid_index
select exists (
  select from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  where c.relnamespace = 'public'::regnamespace and c.relname = $1 and not i.indisvalid
)";

/// The history, as refinery has it. Nobody but the owner may write it, whatever default privileges gave away when it
/// was made.
const MAKE_HISTORY: &str = "-- make_history
create table if not exists public.parlant_migrations (
  version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255)
);
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

const WRITE_HISTORY: &str = "-- write_history
insert into public.parlant_migrations (version, name, applied_on, checksum) values ($1, $2, $3, $4)";

/// A connection that files are run on.
pub(crate) struct Session<'a> {
    client: &'a mut Client,
    options: &'a ApplyOptions,
    /// A scratch database is nobody else's, so its session holds no lock.
    scratch: bool,
    witness: Option<&'a mut Witness>,
}

impl<'a> Session<'a> {
    /// Prepares a connection: names resolve to `public`, and only the runner's own time limits count.
    pub(crate) async fn prepare(
        client: &'a mut Client,
        options: &'a ApplyOptions,
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
        Ok(Self { client, options, scratch, witness: None })
    }

    /// Lets a second session see which locks each file takes.
    pub(crate) fn watched_by(mut self, witness: &'a mut Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Runs the files, in their order, and says how long each took.
    pub(crate) async fn run(mut self, files: &[&File]) -> Result<Vec<Ran>, Error> {
        self.client.batch_execute(MAKE_HISTORY).await?;
        let verb = if self.scratch { "Trying" } else { "Applying" };
        let mut ran = Vec::new();
        for file in files {
            tracing::info!("{verb} {}", file.version);
            if let Some(witness) = &mut self.witness {
                witness.look_before().await?;
            }
            let started = Instant::now();
            if file.is_no_transaction() {
                self.without_transaction(file).await?;
            } else {
                self.in_transaction(file).await?;
            }
            ran.push(Ran::new(file.version.clone(), started.elapsed()));
            if let Some(witness) = &mut self.witness {
                witness.look_after().await?;
            }
        }
        Ok(ran)
    }

    async fn lock_timeout(&self, limit: Duration) -> Result<(), tokio_postgres::Error> {
        // At least 1: 0 would mean without limit.
        let limit = limit.as_millis().max(1);
        self.client.batch_execute(&format!("-- lock_timeout\nset lock_timeout to {limit}")).await
    }

    /// A file and its history row, both or neither.
    async fn in_transaction(&mut self, file: &File) -> Result<(), Error> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        self.lock_timeout(self.options.lock_timeout).await?;
        loop {
            tries += 1;
            match self.try_in_transaction(file).await {
                Err(Error::Failed { migration, cause }) if cause.is_conflict() => {
                    let holders = lock::holders_of_tables(self.client).await?;
                    let waited = started.elapsed();
                    if waited + pause >= self.options.patience {
                        return Err(Error::Blocked { migration, tries, waited, holders });
                    }
                    let holder = holders.first().map_or(String::new(), |holder| format!("{holder} is in the way; "));
                    tracing::warn!("{migration}, try {tries}: {cause}; {holder}again in {pause:?}");
                }
                done => return done,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_in_transaction(&mut self, file: &File) -> Result<(), Error> {
        let transaction = self.client.transaction().await?;
        if !self.scratch {
            hold_lock(&transaction, &file.version).await?;
        }
        transaction.batch_execute(&file.text).await.map_err(|error| failed(file, &error))?;
        write_history(&transaction, file).await?;
        if let Some(witness) = &mut self.witness {
            witness.look_inside(&transaction).await?;
        }
        transaction.commit().await.map_err(|error| failed(file, &error))
    }

    /// The one statement of a `-- no-transaction` file, then its history row. Killed in between, the statement
    /// runs again.
    async fn without_transaction(&mut self, file: &File) -> Result<(), Error> {
        let started = Instant::now();
        if !self.scratch {
            hold_lock(&*self.client, &file.version).await?;
        }
        self.lock_timeout(self.options.patience).await?;
        let index = sql::statements(&file.text).first().and_then(Statement::concurrent_index);
        let index = index.and_then(|index| index.name);
        let mut ran = match &index {
            Some(index) => self.drop_if_invalid(index).await,
            None => Ok(()),
        };
        if ran.is_ok() {
            let statement = self.client.batch_execute(&file.text);
            ran = match &mut self.witness {
                Some(witness) => witness.look_from_outside(statement).await?,
                None => statement.await,
            };
        }
        if let Err(error) = ran {
            // An INVALID index costs every write its upkeep and, if unique, refuses rows. The next run would drop
            // it, too; this error matters more than one from tidying up.
            if let Some(index) = &index {
                let _ = self.drop_if_invalid(index).await;
            }
            return Err(match failed(file, &error) {
                Error::Failed { migration, cause } if cause.is_conflict() => {
                    let holders = lock::holders_of_tables(self.client).await?;
                    Error::Blocked { migration, tries: 1, waited: started.elapsed(), holders }
                }
                other => other,
            });
        }
        write_history(&*self.client, file).await
    }

    /// What a killed `CREATE INDEX CONCURRENTLY` leaves: an index that `IF NOT EXISTS` would take for the real one.
    async fn drop_if_invalid(&self, index: &str) -> Result<(), tokio_postgres::Error> {
        if self.client.query_typed_one(INVALID_INDEX, &[(&index, Type::NAME)]).await?.try_get(0)? {
            tracing::warn!("Dropping the INVALID index {index} that an unfinished run left behind");
            let quoted = index.replace('"', "\"\"");
            self.client
                .batch_execute(&format!("-- drop_if_invalid\ndrop index concurrently if exists public.\"{quoted}\""))
                .await?;
        }
        Ok(())
    }
}

async fn write_history(client: &impl GenericClient, file: &File) -> Result<(), Error> {
    let (applied_on, checksum) = (Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true), file.checksum.to_string());
    let row: [(&(dyn ToSql + Sync), Type); 4] = [
        (&file.version.version, Type::INT4),
        (&file.version.name, Type::TEXT),
        (&applied_on, Type::TEXT),
        (&checksum, Type::TEXT),
    ];
    let written = client.execute_typed(WRITE_HISTORY, &row).await;
    written.map(drop).map_err(|error| failed(file, &error))
}

fn failed(file: &File, error: &tokio_postgres::Error) -> Error {
    Error::Failed { migration: file.version.clone(), cause: DatabaseError::new(error, &file.text) }
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
