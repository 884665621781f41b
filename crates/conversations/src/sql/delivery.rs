//! Turns: from an open row of the outbox to the agent's messages.
//!
//! A turn belongs to whoever took it last. Every statement that writes for one names the session $1, the offset $2,
//! the lease $3 and the workspace $4, and does nothing when the lease is somebody else's by now or the turn has ended.
//! Rows are locked in the order outbox, session, engine session.

/// The turn, as long as it is ours.
macro_rules! ours {
    () => {
        "o.session_id = $1 and o.\"offset\" = $2 and o.lease = $3 and o.workspace_id = $4 and o.state = 'open'"
    };
}

super::queries! {
    /// Takes at most $3 turns that are due, for $2 seconds. A session has one that can be due: see `POST_MESSAGE`.
    CLAIM_TURNS = "claim_turns" [UUID, FLOAT8, INT8]
        "with due as materialized (
            select o.session_id, o.\"offset\"
            from parlant_outbox o
            where o.state = 'open' and o.due_at <= statement_timestamp()
            order by o.due_at
            limit (select $3)
            for update skip locked
        )
        update parlant_outbox o
        set lease = $1, due_at = clock_timestamp() + $2 * interval '1 second', attempts = o.attempts + 1
        from due
        where o.session_id = due.session_id and o.\"offset\" = due.\"offset\"
        returning o.session_id, o.\"offset\", o.workspace_id, o.attempts";

    /// All that a turn needs. No row when it is not ours.
    LOAD_TURN = "load_turn" [UUID, INT4, UUID, TEXT]
        "select e.id, e.content, s.user_id, s.agent_id, s.status = 'active' and a.status = 'active' as active,
            a.name, a.description, a.guidelines, a.in_engine, t.twin, coalesce(t.next_offset, 0) as next_offset,
            o.trace_id, o.answers,
            extract(epoch from clock_timestamp() - o.created_at)::float8 as age,
            extract(epoch from clock_timestamp() - o.delivered_at)::float8 as delivered_age
        from parlant_outbox o
        join parlant_session s on s.id = o.session_id and s.workspace_id = o.workspace_id
        join parlant_agent a on a.id = s.agent_id and a.workspace_id = s.workspace_id
        join parlant_event e on e.session_id = o.session_id and e.\"offset\" = o.\"offset\"
        left join parlant_engine_session t on t.session_id = o.session_id and t.workspace_id = o.workspace_id
        where ", ours!();

    /// Nobody else takes the turn for $5 seconds. Whether it still has a point: session and agent are there.
    KEEP_TURN = "keep_turn" [UUID, INT4, UUID, TEXT, FLOAT8]
        "update parlant_outbox o set due_at = clock_timestamp() + $5 * interval '1 second'
        where ", ours!(), "
        returning exists (
            select from parlant_session s
            join parlant_agent a on a.id = s.agent_id and a.workspace_id = s.workspace_id
            where s.id = o.session_id and s.workspace_id = o.workspace_id
                and s.status = 'active' and a.status = 'active'
        )";

    /// Before the engine is told of the agent: from now on it may know it.
    REMEMBER_AGENT = "remember_agent" [UUID, TEXT]
        "update parlant_agent set in_engine = true
        where id = $1 and workspace_id = $2 and status = 'active' and not in_engine";

    /// The last $5 things that were said before the message at offset $3 with the id $4: by the user earlier, and by the
    /// agent in reply to that, even if it came later. Each reply is behind what it replies to.
    LIST_HISTORY = "list_history" [UUID, TEXT, INT4, TEXT, INT8]
        "with said as (
            select e.message_type = 'agent' as by_agent, e.content, e.\"offset\", e.id::text as id,
                e.metadata ->> 'in_reply_to' as reply_to
            from parlant_event e
            where e.session_id = $1 and e.workspace_id = $2 and (
                (e.message_type = 'user' and e.\"offset\" < $3)
                or (e.message_type = 'agent' and e.metadata ->> 'in_reply_to' is distinct from $4)
            )
            order by e.\"offset\" desc
            limit (select $5)
        )
        select s.by_agent, s.content
        from said s
        left join said question on question.id = s.reply_to
        order by coalesce(question.\"offset\", s.\"offset\"), s.\"offset\"";

    /// The session has the twin $5, or none: nothing has been said to it yet.
    SET_TWIN = "set_twin" [UUID, INT4, UUID, TEXT, TEXT]
        "with ours as (
            update parlant_outbox o set delivered_at = null, trace_id = null
            where ", ours!(), "
            returning o.session_id, o.workspace_id
        )
        insert into parlant_engine_session as t (session_id, workspace_id, twin, next_offset, close_at)
        select s.id, s.workspace_id, $5, 0, case when s.status = 'ended' and $5 is not null then clock_timestamp() end
        from ours
        join parlant_session s on s.id = ours.session_id and s.workspace_id = ours.workspace_id
        on conflict (session_id) do update
        set twin = excluded.twin, next_offset = excluded.next_offset, close_at = excluded.close_at";

    /// The engine has the message, as a part of the turn $5; what follows it starts at $6.
    MARK_DELIVERED = "mark_delivered" [UUID, INT4, UUID, TEXT, TEXT, INT8]
        "with ours as (
            update parlant_outbox o set delivered_at = clock_timestamp(), trace_id = $5
            where ", ours!(), "
            returning o.session_id, o.workspace_id
        )
        update parlant_engine_session t set next_offset = $6
        from ours
        where t.session_id = ours.session_id and t.workspace_id = ours.workspace_id";

    /// Stores messages ($9), of which $6 are answers, and that the twin was read up to $5. The turn is in the
    /// state $7 from now on, for the reason $8 if it failed. A twin that may still say something about it is no
    /// longer ours. Gives the offset of the first message and how many turns of the session are open.
    STORE_TURN = "store_turn"
        [UUID, INT4, UUID, TEXT, INT8, INT4, TEXT, TEXT, JSONB]
        "with ours as (
            update parlant_outbox o
            set answers = o.answers + $6, state = $7, reason = $8,
                finished_at = case when $7 <> 'open' then clock_timestamp() end
            where ", ours!(), "
            returning o.session_id, o.workspace_id
        ), numbered as (
            update parlant_session s
            set message_count = s.message_count + jsonb_array_length($9),
                open_turns = s.open_turns - case when $7 = 'open' then 0 else 1 end
            from ours
            where s.id = ours.session_id and s.workspace_id = ours.workspace_id
            returning s.id, s.workspace_id, s.message_count - jsonb_array_length($9) as first, s.open_turns
        ), read as (
            update parlant_engine_session t
            set next_offset = $5,
                twin = case when $8 in ('timeout', 'cancelled') then null else t.twin end,
                close_at = case when $8 in ('timeout', 'cancelled') then null else t.close_at end
            from numbered n
            where t.session_id = n.id and t.workspace_id = n.workspace_id
        ), stored as (
            insert into parlant_event
                (session_id, \"offset\", id, workspace_id, message_type, content, metadata, engine_event_id)
            select n.id, n.first + said.place - 1, said.id, n.workspace_id, said.message_type, said.content,
                said.metadata, said.engine_event_id
            from numbered n
            cross join lateral rows from (
                jsonb_to_recordset($9)
                    as (id uuid, message_type text, content text, metadata jsonb, engine_event_id text)
            ) with ordinality as said (id, message_type, content, metadata, engine_event_id, place)
        )
        select n.first, n.open_turns from numbered n";

    /// The session's next turn can begin. Must be a statement of its own after `STORE_TURN`, in one transaction: it
    /// sees the messages whose posting that one waited for.
    WAKE_NEXT_TURN = "wake_next_turn" [UUID, INT4, TEXT]
        "update parlant_outbox o set due_at = clock_timestamp()
        where o.session_id = $1 and o.workspace_id = $3 and o.\"offset\" = (
            select next.\"offset\"
            from parlant_outbox next
            where next.session_id = $1 and next.\"offset\" > $2 and next.state = 'open'
            order by next.\"offset\"
            limit 1
        )";

    /// Agents that were archived more than $1 seconds ago and that the engine may still know, at most $2.
    LIST_FORGOTTEN_AGENTS = "list_forgotten_agents" [FLOAT8, INT8]
        "select a.id, a.workspace_id
        from parlant_agent a
        where a.status = 'archived' and a.in_engine
            and a.updated_at < statement_timestamp() - $1 * interval '1 second'
        order by a.updated_at
        limit (select $2)";

    FORGET_AGENT = "forget_agent" [UUID, TEXT]
        "update parlant_agent set in_engine = false where id = $1 and workspace_id = $2 and status = 'archived'";

    /// Twins of ended sessions, at most $1.
    LIST_LEFT_TWINS = "list_left_twins" [INT8]
        "select t.session_id, t.workspace_id, t.twin
        from parlant_engine_session t
        where t.close_at is not null
        order by t.close_at
        limit (select $1)";

    FORGET_TWIN = "forget_twin" [UUID, TEXT, TEXT]
        "update parlant_engine_session set twin = null, close_at = null
        where session_id = $1 and workspace_id = $2 and twin = $3";
}
