-- Messages that an engine is to answer, and where each session stands in the engine. PostgreSQL alone knows this for
-- sure: the engine may forget everything at any time.

-- Numbers the open rows of a session's outbox. It is changed together with message_count, which no index contains.
alter table parlant_session add column open_turns integer not null default 0;

comment on column parlant_session.open_turns is 'Messages that wait for their answer';

-- Rows are never removed: they are the record of what became of each message.
create table parlant_outbox (
    session_id   uuid not null,
    created_at   timestamptz not null default clock_timestamp(),
    due_at       timestamptz not null,
    delivered_at timestamptz,
    finished_at  timestamptz,
    lease        uuid,
    "offset"     integer not null,
    attempts     integer not null default 0,
    answers      integer not null default 0,
    workspace_id text collate "C" not null,
    state        text not null default 'open',
    reason       text,
    trace_id     text,
    constraint parlant_outbox_pkey primary key (session_id, "offset"),
    constraint parlant_outbox_session_fkey foreign key (session_id, workspace_id)
        references parlant_session (id, workspace_id),
    constraint parlant_outbox_state_check check (state in ('open', 'answered', 'failed')),
    constraint parlant_outbox_reason_check check ((state = 'failed') = (reason is not null)),
    constraint parlant_outbox_finished_check check ((state = 'open') = (finished_at is null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);

comment on table parlant_outbox is 'What became of each message that an engine was to answer';
comment on column parlant_outbox.due_at is
    'Until then nobody touches it: its turn is leased, waits for another try, or (infinity) for the one before it';
comment on column parlant_outbox.lease is 'Whoever took the turn last; what anybody else writes is refused';
comment on column parlant_outbox.attempts is 'How often it was taken: from the second time on it may have been delivered';
comment on column parlant_outbox.answers is 'Messages of the agent that answer it, preambles not counted';
comment on column parlant_outbox.trace_id is 'The engine''s name of the turn, once delivered';

-- What is due, the oldest first; messages that wait for the one before them are behind it all.
create index parlant_outbox_open_idx on parlant_outbox (due_at) where state = 'open';

create table parlant_engine_session (
    session_id   uuid primary key,
    close_at     timestamptz,
    next_offset  bigint not null default 0,
    workspace_id text collate "C" not null,
    twin         text,
    constraint parlant_engine_session_session_fkey foreign key (session_id, workspace_id)
        references parlant_session (id, workspace_id)
) with (fillfactor = 80);

comment on table parlant_engine_session is 'The session of the engine in which a session goes on';
comment on column parlant_engine_session.twin is 'The engine''s id of it; none when it was lost or closed';
comment on column parlant_engine_session.next_offset is 'The first event of it that was not read yet';
comment on column parlant_engine_session.close_at is 'Set when the session has ended and the twin is still there';

create index parlant_engine_session_close_idx on parlant_engine_session (close_at) where close_at is not null;
