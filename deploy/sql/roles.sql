-- The three roles of the bridge, with the least that each needs.
--
--   parlant_migrator   owns the bridge's tables and makes new ones; used by `parlant-migrate` alone
--   parlant_app        what the server runs as: reads, adds and changes rows of the bridge's tables, and
--                      reads those columns of Sim's tables that decide who somebody is and what they may do
--   parlant_backup     what `parlant-backup run` runs as: reads everything and changes nothing
--
-- Run it in the bridge's database, as a superuser, or on a managed server as its administrator if that role also
-- owns Sim's tables:
--
--   psql "$ADMIN_URL" --set ON_ERROR_STOP=1 --single-transaction --file deploy/sql/roles.sql
--
-- It may be run again at any time, before or after the migrations, and takes back what an earlier version of it gave
-- too much of. Run it again after Sim made one of its tables anew. When Sim's tables are in another database
-- (SIM_DATABASE_URL), run it in both: it grants what it finds.
--
-- It sets no passwords. Afterwards, in psql:
--
--   \password parlant_migrator
--   \password parlant_app
--   \password parlant_backup
--
-- Only if `parlant-migrate plan` shall make its scratch database on this server:
--
--   alter role parlant_migrator createdb;

-- Roles belong to the whole server, so another database may have made them already, or be making them now.
do $$
declare
  name text;
begin
  foreach name in array array['parlant_migrator', 'parlant_app', 'parlant_backup'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = name) then
      begin
        execute format('create role %I login', name);
      exception when duplicate_object or unique_violation then
        null;
      end;
    end if;
  end loop;
  -- An administrator who is no superuser has to be a member of a role to set its default privileges.
  if not pg_catalog.pg_has_role(current_user, 'parlant_migrator', 'USAGE') then
    execute format('grant parlant_migrator to %I', current_user);
  end if;
end
$$;

-- Time limits for whoever connects as parlant_app, by hand too. The server sets its own (DATABASE_COMMAND_TIMEOUT).
do $$
declare
  setting record;
begin
  for setting in
    select s.name, s.value
    from (values
      ('statement_timeout', '30s'),
      ('lock_timeout', '10s'),
      ('idle_in_transaction_session_timeout', '60s')
    ) as s (name, value)
    where not exists (
      select from pg_catalog.pg_db_role_setting c
      join pg_catalog.pg_roles r on r.oid = c.setrole
      where r.rolname = 'parlant_app' and c.setdatabase = 0
        and s.name || '=' || s.value = any (c.setconfig)
    )
  loop
    execute format('alter role parlant_app set %I to %L', setting.name, setting.value);
  end loop;
end
$$;

-- Before PostgreSQL 15 everybody could make tables in public, and a database that was upgraded still lets them.
-- Whoever owns something there keeps the right.
do $$
declare
  owner record;
begin
  if exists (
    select from pg_catalog.pg_namespace n
    cross join lateral pg_catalog.aclexplode(n.nspacl) a
    where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE'
  ) then
    for owner in
      select distinct r.rolname
      from pg_catalog.pg_class c
      join pg_catalog.pg_roles r on r.oid = c.relowner
      where c.relnamespace = 'public'::regnamespace and r.rolname <> 'parlant_app'
    loop
      execute format('grant create on schema public to %I', owner.rolname);
    end loop;
    revoke create on schema public from public;
  end if;
  execute format('grant connect on database %I to parlant_migrator, parlant_app, parlant_backup', current_database());
end
$$;

grant usage, create on schema public to parlant_migrator;
grant usage on schema public to parlant_app;

-- Tables that parlant_migrator makes from now on. No DELETE and no TRUNCATE: the bridge archives and ends.
alter default privileges for role parlant_migrator in schema public
  grant select, insert, update on tables to parlant_app;

-- Tables that are there already, whoever made them.
do $$
declare
  bridge record;
begin
  for bridge in
    select c.relname, pg_catalog.pg_get_userbyid(c.relowner) as owner
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname like 'parlant\_%'
  loop
    if bridge.owner <> 'parlant_migrator' then
      execute format('alter table public.%I owner to parlant_migrator', bridge.relname);
    end if;
    execute format('revoke all on public.%I from parlant_app', bridge.relname);
    execute format(
      'grant %s on public.%I to parlant_app',
      -- The history is written by migrations alone; `parlant-migrate` takes the default privileges back from it.
      case bridge.relname when 'parlant_migrations' then 'select' else 'select, insert, update' end,
      bridge.relname
    );
  end loop;
end
$$;

-- Sim's tables: these columns and no others (not, for example, addresses of clients or API keys).
do $$
declare
  sim record;
begin
  for sim in
    select t.name, string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum) as columns
    from (values
      ('session', '{id,token,user_id,expires_at,active_organization_id,impersonated_by}'::name[]),
      ('user', '{id,name,email,email_verified,image,banned,ban_expires}'),
      ('workspace', '{id,name,organization_id,archived_at}'),
      ('permissions', '{id,user_id,entity_type,entity_id,permission_type}'),
      ('member', '{id,user_id,organization_id,role}')
    ) as t (name, columns)
    join pg_catalog.pg_class c on c.relnamespace = 'public'::regnamespace and c.relname = t.name
    join pg_catalog.pg_attribute a
      on a.attrelid = c.oid and a.attname = any (t.columns) and not a.attisdropped
    group by t.name
  loop
    execute format('revoke all on public.%I from parlant_app', sim.name);
    execute format('grant select (%s) on public.%I to parlant_app', sim.columns, sim.name);
  end loop;
end
$$;

-- Backups need all of it, Sim's tables included: half a database cannot be restored. An administrator who may not give
-- this away makes backups of the bridge's tables alone (`parlant-backup run --only-parlant`, as parlant_migrator).
do $$
begin
  alter role parlant_backup set default_transaction_read_only = on;
  if not pg_catalog.pg_has_role('parlant_backup', 'pg_read_all_data', 'USAGE') then
    grant pg_read_all_data to parlant_backup;
  end if;
exception when insufficient_privilege then
  raise warning 'parlant_backup cannot read everything yet: have a superuser run "grant pg_read_all_data to parlant_backup"';
end
$$;
