/// What `crate::sessions` reads of a session named `s`, in its order.
macro_rules! columns {
    () => {
        "s.id, s.agent_id, s.workspace_id, s.user_id, s.status, s.created_at, s.context"
    };
}

/// A caller sees every session of the workspaces that it administers ($2), and its own ($3) in the others ($4).
macro_rules! visible {
    () => {
        "(s.workspace_id = any($2) or (s.user_id = $3 and s.workspace_id = any($4)))"
    };
}

/// A page of sessions from two branches: everybody's, and those of the user $3. Only what orders them is compared; the
/// rows of the page alone are read. The cursor is $4 and $5, the limit $6.
macro_rules! page {
    ($everybody:expr, $own:expr) => {
        concat!(
            "select ",
            columns!(),
            "
            from (
                (",
            $everybody,
            ")
                union all
                (",
            $own,
            ")
                order by created_at desc, id desc
                limit (select $6)
            ) as page
            cross join lateral (
                select ",
            columns!(),
            "
                from parlant_session s
                where s.id = page.id and s.workspace_id = page.workspace_id
                offset 0
            ) as s
            order by page.created_at desc, page.id desc"
        )
    };
}

/// The newest sessions of each place that fulfil the condition: at most a page for each.
macro_rules! newest {
    ($places:expr, $condition:literal) => {
        concat!(
            "select newest.workspace_id, newest.created_at, newest.id
            from ",
            $places,
            "
            cross join lateral (
                select s.workspace_id, s.created_at, s.id
                from parlant_session s
                where ",
            $condition,
            " and (s.created_at, s.id) < ((select $4), (select $5))
                order by s.created_at desc, s.id desc
                limit (select $6)
            ) as newest"
        )
    };
}

/// The newest active sessions of the user $3 that fulfil the condition. There are few, whatever it is.
macro_rules! own_active {
    ($condition:literal) => {
        concat!(
            "select own.workspace_id, own.created_at, own.id
            from (
                select s.workspace_id, s.agent_id, s.created_at, s.id
                from parlant_session s
                where s.user_id = (select $3) and s.status = 'active'
                    and (s.created_at, s.id) < ((select $4), (select $5))
                order by s.created_at desc, s.id desc
                offset 0
            ) as own
            where ",
            $condition,
            "
            order by own.created_at desc, own.id desc
            limit (select $6)"
        )
    };
}

/// The agent $7 as a place, if its workspace is among those of a parameter. All of its sessions are there.
macro_rules! agent_in {
    ($workspaces:literal) => {
        concat!(
            "(select a.id from parlant_agent a where a.id = $7 and a.workspace_id = any(",
            $workspaces,
            ")) as agent"
        )
    };
}

super::queries! {
    /// Makes every other start of a session by the same user wait for the end of the transaction; see
    /// `LOCK_AGENT_LIMIT`.
    LOCK_SESSION_LIMIT = "lock_session_limit" [INT4, TEXT]
        "select pg_advisory_xact_lock($1, hashtext($2))";

    /// One row: whether the agent is there, and the session unless the agent is not or the user has too many. Sharing
    /// the agent's row makes its archiving wait, which then ends this session too.
    START_SESSION = "start_session" [UUID, UUID, TEXT, TEXT, JSONB, INT8]
        "with agent as (
            select a.id from parlant_agent a
            where a.id = $2 and a.workspace_id = $3 and a.status = 'active'
            for share
        ), s as (
            insert into parlant_session (id, workspace_id, agent_id, user_id, context)
            select $1, $3, agent.id, $4, $5
            from agent
            where (select count(*) from parlant_session where user_id = $4 and status = 'active') < $6
            returning id, agent_id, workspace_id, user_id, status, created_at, context
        )
        select exists (select from agent), ", columns!(), "
        from (values (1)) as always (present)
        left join s on true";

    /// Everybody's in the workspaces $1 and own in the workspaces $2, with the statuses $7.
    LIST_SESSIONS = "list_sessions" [TEXT_ARRAY, TEXT_ARRAY, TEXT, TIMESTAMPTZ, UUID, INT8, TEXT_ARRAY]
        page!(
            newest!("unnest($1) as workspace (id) cross join unnest($7) as status (name)",
                "s.workspace_id = workspace.id and s.status = status.name"),
            newest!("unnest($2) as workspace (id)",
                "s.workspace_id = workspace.id and s.user_id = (select $3) and s.status = any((select $7)::text[])")
        );

    /// The same for active ones: own ones must not be looked for among all that have ended.
    LIST_ACTIVE_SESSIONS = "list_active_sessions" [TEXT_ARRAY, TEXT_ARRAY, TEXT, TIMESTAMPTZ, UUID, INT8]
        page!(
            newest!("unnest($1) as workspace (id)", "s.workspace_id = workspace.id and s.status = 'active'"),
            own_active!("own.workspace_id = any($2)")
        );

    /// With the agent $7 and the statuses $8.
    LIST_AGENT_SESSIONS = "list_agent_sessions"
        [TEXT_ARRAY, TEXT_ARRAY, TEXT, TIMESTAMPTZ, UUID, INT8, UUID, TEXT_ARRAY]
        page!(
            newest!(concat!(agent_in!("$1"), " cross join unnest($8) as status (name)"),
                "s.agent_id = agent.id and s.status = status.name"),
            newest!(agent_in!("$2"),
                "s.agent_id = agent.id and s.user_id = (select $3) and s.status = any((select $8)::text[])")
        );

    LIST_ACTIVE_AGENT_SESSIONS = "list_active_agent_sessions"
        [TEXT_ARRAY, TEXT_ARRAY, TEXT, TIMESTAMPTZ, UUID, INT8, UUID]
        page!(
            newest!(agent_in!("$1"), "s.agent_id = agent.id and s.status = 'active'"),
            own_active!("own.workspace_id = any($2) and own.agent_id = $7")
        );

    GET_SESSION = "get_session" [UUID, TEXT_ARRAY, TEXT, TEXT_ARRAY]
        "select ", columns!(), "
        from parlant_session s
        where s.id = $1 and ", visible!();

    /// The session as it is afterwards, and whether it ended now. Its twin in the engine is left to be closed.
    END_SESSION = "end_session" [UUID, TEXT_ARRAY, TEXT, TEXT_ARRAY]
        "with ended as (
            update parlant_session s set status = 'ended'
            where s.id = $1 and s.status = 'active' and ", visible!(), "
            returning s.id, s.workspace_id
        ), left_twin as (
            update parlant_engine_session t set close_at = clock_timestamp()
            from ended
            where t.session_id = ended.id and t.workspace_id = ended.workspace_id and t.twin is not null
        )
        select s.id, s.agent_id, s.workspace_id, s.user_id, 'ended', s.created_at, s.context,
            exists (select from ended)
        from parlant_session s
        where s.id = $1 and ", visible!();
}
