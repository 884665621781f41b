/// What `crate::agents` reads of an agent named `a`, in its order.
macro_rules! columns {
    () => {
        "a.id, a.name, a.description, a.guidelines, a.tools, a.model, a.temperature, \
         a.workspace_id, a.user_id, a.created_at, a.updated_at, a.status, a.version"
    };
}

super::queries! {
    /// Makes everybody who would create an agent in the same workspace wait for the end of the transaction: the limit
    /// is exact only if nobody counts at the same time. Must be a statement of its own, because a statement sees the
    /// rows as they were when it began.
    LOCK_AGENT_LIMIT = "lock_agent_limit" [INT4, TEXT]
        "select pg_advisory_xact_lock($1, hashtext($2))";

    /// No row when the workspace is full.
    CREATE_AGENT = "create_agent" [UUID, TEXT, TEXT, TEXT, TEXT, JSONB, JSONB, TEXT, FLOAT8, INT8]
        "insert into parlant_agent as a
            (id, workspace_id, user_id, name, description, guidelines, tools, model, temperature)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9
        where (select count(*) from parlant_agent where workspace_id = $2 and status = 'active') < $10
        returning ", columns!();

    LIST_WORKSPACE_AGENTS = "list_workspace_agents" [TEXT, TIMESTAMPTZ, UUID, INT8]
        "select ", columns!(), "
        from parlant_agent a
        where a.workspace_id = (select $1) and a.status = 'active'
            and (a.created_at, a.id) < ((select $2), (select $3))
        order by a.created_at desc, a.id desc
        limit (select $4)";

    /// The newest of each workspace, of which the newest are the page. Only what orders them is compared; the rows of
    /// the page alone are read.
    LIST_AGENTS = "list_agents" [TEXT_ARRAY, TIMESTAMPTZ, UUID, INT8]
        "select ", columns!(), "
        from (
            select newest.workspace_id, newest.created_at, newest.id
            from unnest($1) as place (workspace_id)
            cross join lateral (
                select a.workspace_id, a.created_at, a.id
                from parlant_agent a
                where a.workspace_id = place.workspace_id and a.status = 'active'
                    and (a.created_at, a.id) < ((select $2), (select $3))
                order by a.created_at desc, a.id desc
                limit (select $4)
            ) as newest
            order by newest.created_at desc, newest.id desc
            limit (select $4)
        ) as page
        cross join lateral (
            select ", columns!(), "
            from parlant_agent a
            where a.id = page.id and a.workspace_id = page.workspace_id
            offset 0
        ) as a
        order by page.created_at desc, page.id desc";

    GET_AGENT = "get_agent" [UUID, TEXT_ARRAY]
        "select ", columns!(), "
        from parlant_agent a
        where a.id = $1 and a.workspace_id = any($2) and a.status = 'active'";

    /// A pair of parameters for each field that can be cleared: whether to change it, and the new value.
    UPDATE_AGENT = "update_agent"
        [UUID, TEXT_ARRAY, INT4, TEXT, BOOL, TEXT, JSONB, JSONB, BOOL, TEXT, BOOL, FLOAT8]
        "update parlant_agent a set
            name = coalesce($4, a.name),
            description = case when $5 then $6 else a.description end,
            guidelines = coalesce($7, a.guidelines),
            tools = coalesce($8, a.tools),
            model = case when $9 then $10 else a.model end,
            temperature = case when $11 then $12 else a.temperature end,
            version = a.version + 1,
            updated_at = statement_timestamp()
        where a.id = $1 and a.workspace_id = any($2) and a.status = 'active' and ($3 is null or a.version = $3)
        returning ", columns!();

    /// By an admin of the workspace, or by its creator who may still write there.
    ARCHIVE_AGENT = "archive_agent" [UUID, TEXT_ARRAY, TEXT_ARRAY, TEXT]
        "update parlant_agent a set status = 'archived', version = a.version + 1, updated_at = statement_timestamp()
        where a.id = $1 and a.status = 'active'
            and (a.workspace_id = any($2) or (a.workspace_id = any($3) and a.user_id = $4))
        returning a.workspace_id";

    /// Must be a statement of its own after the agent is archived: it sees the sessions whose start it waited for.
    END_SESSIONS_OF_AGENT = "end_sessions_of_agent" [TEXT, UUID]
        "update parlant_session set status = 'ended'
        where workspace_id = $1 and agent_id = $2 and status = 'active'
        returning id, user_id";
}
