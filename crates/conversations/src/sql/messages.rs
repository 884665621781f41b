/// What `crate::messages` reads of a message named `e`, in its order.
macro_rules! columns {
    () => {
        "e.id, e.session_id, e.\"offset\", e.content, e.message_type, e.created_at, e.metadata"
    };
}

super::queries! {
    /// One row with the message, new or the one that an earlier request with the same idempotency key ($8) stored,
    /// and whether that one asked for the same. No row when there is no such active session of the caller.
    ///
    /// The update both numbers the message and makes other writers of the session wait, so offsets have no gap and
    /// times grow with them. Two requests with one key at once: the second breaks the unique index and is undone.
    ///
    /// With $9 = 1 an engine is to answer. Its turn is due at once, or once that of the message before has ended:
    /// the session's row tells which, because it is read after every other writer of the session.
    POST_MESSAGE = "post_message" [UUID, TEXT_ARRAY, TEXT, UUID, TEXT, TEXT, JSONB, TEXT, INT4]
        "with earlier as (
            select ", columns!(), ",
                e.content = $5 and e.message_type = $6 and e.metadata = $7 as same
            from parlant_event e
            join parlant_session s on s.id = e.session_id and s.workspace_id = e.workspace_id
            where e.session_id = $1 and e.idempotency_key = $8
                and s.workspace_id = any($2) and s.user_id = $3
        ), numbered as (
            update parlant_session s set message_count = s.message_count + 1, open_turns = s.open_turns + $9
            where s.id = $1 and s.workspace_id = any($2) and s.user_id = $3 and s.status = 'active'
                and not exists (select from earlier)
            returning s.id, s.workspace_id, s.agent_id, s.message_count - 1 as \"offset\", s.open_turns
        ), posted as (
            insert into parlant_event as e
                (session_id, \"offset\", id, workspace_id, content, message_type, metadata, idempotency_key, created_at)
            select n.id, n.\"offset\", $4, n.workspace_id, $5, $6, $7, $8, clock_timestamp()
            from numbered n
            returning ", columns!(), "
        ), queued as (
            insert into parlant_outbox (session_id, \"offset\", workspace_id, due_at)
            select n.id, n.\"offset\", n.workspace_id, case when n.open_turns = 1 then clock_timestamp() else 'infinity' end
            from numbered n
            where $9 = 1
        )
        select ", columns!(), ", true, n.workspace_id, n.agent_id from posted e cross join numbered n
        union all
        select ", columns!(), ", e.same, null, null from earlier e";

    /// Of the same session as the caller sees it in `POST_MESSAGE`.
    SESSION_EXISTS = "session_exists" [UUID, TEXT_ARRAY, TEXT]
        "select s.id from parlant_session s
        where s.id = $1 and s.workspace_id = any($2) and s.user_id = $3";

    /// The session's number of messages, and the messages from offset $5 to before $6: a row for each, or one without
    /// a message. No row when the caller does not see the session.
    LIST_MESSAGES = "list_messages" [UUID, TEXT_ARRAY, TEXT, TEXT_ARRAY, INT8, INT8]
        "select ", columns!(), ", s.message_count, s.status = 'ended'
        from parlant_session s
        left join parlant_event e
            on e.session_id = s.id and e.workspace_id = s.workspace_id
            and e.\"offset\" >= $5 and e.\"offset\" < $6
        where s.id = $1
            and (s.workspace_id = any($2) or (s.user_id = $3 and s.workspace_id = any($4)))
        order by e.\"offset\"";
}
