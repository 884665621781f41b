-- Which event of the engine a message came from, so that none is stored twice.
alter table parlant_event add column engine_event_id text collate "C";

comment on column parlant_event.engine_event_id is 'The engine''s id of the agent''s message';
