-- Agents of Sim's workspaces.
--
-- Ids of workspaces and users are Sim's: opaque text without a foreign key, because the
-- bridge may only read Sim's tables. They are compared byte by byte (collate "C"), so no
-- index depends on the operating system's collation.
create table parlant_agent (
    id           uuid primary key,
    created_at   timestamptz not null default statement_timestamp(),
    updated_at   timestamptz not null default statement_timestamp(),
    temperature  double precision,
    version      integer not null default 1,
    workspace_id text collate "C" not null,
    user_id      text collate "C" not null,
    name         text collate "C" not null,
    status       text not null default 'active',
    model        text,
    description  text,
    guidelines   jsonb not null,
    tools        jsonb not null,
    -- What sessions refer to: an agent together with its workspace, so that the database
    -- itself refuses a session in another workspace than its agent's.
    constraint parlant_agent_tenant_key unique (id, workspace_id),
    constraint parlant_agent_name_check check (name <> ''),
    constraint parlant_agent_status_check check (status in ('active', 'archived')),
    constraint parlant_agent_temperature_check check (temperature between 0 and 2),
    constraint parlant_agent_guidelines_check check (jsonb_typeof(guidelines) = 'array'),
    constraint parlant_agent_tools_check check (jsonb_typeof(tools) = 'array')
);

comment on table parlant_agent is 'Agents; deleting one archives it';
comment on column parlant_agent.user_id is 'Who created it';
comment on column parlant_agent.version is 'Grows with each change; the ETag';

-- Lists newest first, the count for the limit, and the reaper's walk over workspaces.
create index parlant_agent_active_idx on parlant_agent (workspace_id, created_at, id) where status = 'active';

-- A name is free again when its agent is archived.
create unique index parlant_agent_active_name_key on parlant_agent (workspace_id, name) where status = 'active';
