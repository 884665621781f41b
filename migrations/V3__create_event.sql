-- The messages of a session, numbered from 0 without a gap. Rows are only ever added, so
-- autovacuum freezes them the first time it passes and need not come back.
create table parlant_event (
    session_id      uuid not null,
    id              uuid not null,
    created_at      timestamptz not null default clock_timestamp(),
    "offset"        integer not null,
    workspace_id    text collate "C" not null,
    message_type    text not null,
    idempotency_key text collate "C",
    content         text not null,
    metadata        jsonb not null,
    constraint parlant_event_pkey primary key (session_id, "offset"),
    constraint parlant_event_session_fkey foreign key (session_id, workspace_id)
        references parlant_session (id, workspace_id),
    constraint parlant_event_offset_check check ("offset" >= 0),
    constraint parlant_event_message_type_check check (message_type in ('user', 'system', 'agent')),
    constraint parlant_event_content_check check (content <> ''),
    constraint parlant_event_metadata_check check (jsonb_typeof(metadata) = 'object')
) with (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0.05);

comment on table parlant_event is 'Messages of sessions; rows are never changed';
comment on column parlant_event.idempotency_key is 'What the client sent so that a retry stores nothing twice';

create unique index parlant_event_idempotency_key on parlant_event (session_id, idempotency_key)
    where idempotency_key is not null;
