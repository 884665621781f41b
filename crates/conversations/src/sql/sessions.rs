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

/// A page of sessions in two branches: everybody's, and those of the user $3. A branch takes at most a page from each of
/// its places, by ids alone, and the rows of the page are read at the end.
macro_rules! page {
    ($everybody:expr, $own:expr) => {
        concat!(
            "select ",
            columns!(),
            " from (",
            $everybody,
            " union all ",
            $own,
            " order by id desc limit (select $5)
            ) as page
            join parlant_session s on s.id = page.id and s.workspace_id = page.workspace_id
            order by page.id desc"
        )
    };
}

/// The newest sessions below the cursor $4 that fulfil a condition, in each place.
macro_rules! newest {
    ($place:literal, $condition:literal) => {
        concat!(
            "select place.workspace_id, newest.id
            from ",
            $place,
            " cross join lateral (
                select s.id from parlant_session s
                where ",
            $condition,
            " and s.id < (select $4)
                order by s.id desc
                limit (select $5)
            ) as newest"
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

    /// Everybody's in the workspaces $1, own in the workspaces $2, of any status when $6 is null.
    LIST_SESSIONS = "list_sessions" [TEXT_ARRAY, TEXT_ARRAY, TEXT, UUID, INT8, TEXT]
        page!(
            newest!("unnest($1) as place (workspace_id)",
                "s.workspace_id = place.workspace_id and ($6 is null or s.status = (select $6))"),
            newest!("unnest($2) as place (workspace_id)",
                "s.workspace_id = place.workspace_id and s.user_id = (select $3)
                and ($6 is null or s.status = (select $6))")
        );

    /// The same for active ones. A user has few, so its own are not looked up by workspace.
    LIST_ACTIVE_SESSIONS = "list_active_sessions" [TEXT_ARRAY, TEXT_ARRAY, TEXT, UUID, INT8]
        page!(
            newest!("unnest($1) as place (workspace_id)",
                "s.workspace_id = place.workspace_id and s.status = 'active'"),
            "select own.workspace_id, own.id from (
                select s.workspace_id, s.id from parlant_session s
                where s.user_id = (select $3) and s.workspace_id = any($2) and s.status = 'active'
                    and s.id < (select $4)
                order by s.id desc
                limit (select $5)
            ) as own"
        );

    /// The same with the agent $7. Its workspace is the only one to look in, and its sessions are all there: another
    /// condition on the workspace would only mislead the planner, which takes the two for independent.
    LIST_AGENT_SESSIONS = "list_agent_sessions" [TEXT_ARRAY, TEXT_ARRAY, TEXT, UUID, INT8, TEXT, UUID]
        page!(
            newest!("(select a.workspace_id, a.id from parlant_agent a
                    where a.id = $7 and a.workspace_id = any($1)) as place",
                "s.agent_id = place.id and ($6 is null or s.status = (select $6))"),
            newest!("(select a.workspace_id, a.id from parlant_agent a
                    where a.id = $7 and a.workspace_id = any($2)) as place",
                "s.agent_id = place.id and s.user_id = (select $3) and ($6 is null or s.status = (select $6))")
        );

    /// The same for active ones.
    LIST_ACTIVE_AGENT_SESSIONS = "list_active_agent_sessions"
        [TEXT_ARRAY, TEXT_ARRAY, TEXT, UUID, INT8, UUID]
        page!(
            newest!("(select a.workspace_id, a.id from parlant_agent a
                    where a.id = $6 and a.workspace_id = any($1)) as place",
                "s.agent_id = place.id and s.status = 'active'"),
            newest!("(select a.workspace_id, a.id from parlant_agent a
                    where a.id = $6 and a.workspace_id = any($2)) as place",
                "s.agent_id = place.id and s.user_id = (select $3) and s.status = 'active'")
        );

    GET_SESSION = "get_session" [UUID, TEXT_ARRAY, TEXT, TEXT_ARRAY]
        "select ", columns!(), "
        from parlant_session s
        where s.id = $1 and ", visible!();

    /// The session as it is afterwards, whether or not it had ended before.
    END_SESSION = "end_session" [UUID, TEXT_ARRAY, TEXT, TEXT_ARRAY]
        "with ended as (
            update parlant_session s set status = 'ended'
            where s.id = $1 and s.status = 'active' and ", visible!(), "
            returning s.id
        )
        select s.id, s.agent_id, s.workspace_id, s.user_id, 'ended', s.created_at, s.context
        from parlant_session s
        where s.id = $1 and ", visible!();
}
