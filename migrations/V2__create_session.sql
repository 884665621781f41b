-- A user's conversation with an agent. Every message updates message_count, which no index
-- contains: room left in each page keeps these updates inside it (HOT).
create table parlant_session (
    id            uuid primary key,
    agent_id      uuid not null,
    created_at    timestamptz not null default statement_timestamp(),
    message_count integer not null default 0,
    workspace_id  text collate "C" not null,
    user_id       text collate "C" not null,
    status        text not null default 'active',
    context       jsonb not null,
    -- What events refer to.
    constraint parlant_session_tenant_key unique (id, workspace_id),
    constraint parlant_session_agent_fkey foreign key (agent_id, workspace_id)
        references parlant_agent (id, workspace_id),
    constraint parlant_session_status_check check (status in ('active', 'ended')),
    constraint parlant_session_message_count_check check (message_count >= 0),
    constraint parlant_session_context_check check (jsonb_typeof(context) = 'object')
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

comment on table parlant_session is 'Conversations; deleting one ends it';
comment on column parlant_session.user_id is 'Whose conversation it is';
comment on column parlant_session.message_count is 'Messages so far, which is also the offset of the next one';

-- Lists newest first: everybody's and a user's own, in a workspace and with an agent; also the end of an
-- agent's sessions. Each list has the one index that gives its order: see crates/conversations/src/sql/mod.rs.
create index parlant_session_workspace_idx on parlant_session (workspace_id, status, created_at, id);
create index parlant_session_workspace_user_idx on parlant_session (workspace_id, user_id, created_at, id);
create index parlant_session_agent_idx on parlant_session (agent_id, status, created_at, id);
create index parlant_session_agent_user_idx on parlant_session (agent_id, user_id, created_at, id);

-- A user's active sessions, which are few however many have ended: their list, and the count for the limit.
create index parlant_session_active_user_idx on parlant_session (user_id, created_at, id) where status = 'active';
