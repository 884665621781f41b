super::queries! {
    /// Whether this transaction now is the only one that reaps.
    TRY_REAPER_LOCK = "try_reaper_lock" [INT4]
        "select pg_try_advisory_xact_lock($1, 0)";

    /// The next workspaces after $1 that have active agents: one step in the index for each, however many agents.
    NEXT_WORKSPACES = "next_workspaces" [TEXT, INT8]
        "with recursive workspace (id) as (
            (
                select a.workspace_id from parlant_agent a
                where a.status = 'active' and a.workspace_id > $1
                order by a.workspace_id
                limit 1
            )
            union all
            select (
                select a.workspace_id from parlant_agent a
                where a.status = 'active' and a.workspace_id > workspace.id
                order by a.workspace_id
                limit 1
            )
            from workspace
            where workspace.id is not null
        )
        select id from workspace where id is not null limit $2";

    /// At most $2 agents of the workspace.
    ARCHIVE_AGENTS_OF_WORKSPACE = "archive_agents_of_workspace" [TEXT, INT8]
        "update parlant_agent set status = 'archived', version = version + 1, updated_at = statement_timestamp()
        where workspace_id = $1 and status = 'active' and id in (
            select a.id from parlant_agent a
            where a.workspace_id = (select $1) and a.status = 'active'
            order by a.created_at, a.id
            limit (select $2)
        )
        returning id";

    /// Must be a statement of its own; see `END_SESSIONS_OF_AGENT`.
    END_SESSIONS_OF_AGENTS = "end_sessions_of_agents" [TEXT, UUID_ARRAY]
        "update parlant_session set status = 'ended'
        where workspace_id = $1 and agent_id = any($2) and status = 'active'";
}
