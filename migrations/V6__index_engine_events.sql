-- no-transaction
create unique index concurrently if not exists parlant_event_engine_event_key on parlant_event (session_id, engine_event_id)
    where engine_event_id is not null;
