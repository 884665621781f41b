-- Which agents the engine may know, so that it forgets those that are archived.
alter table parlant_agent add column in_engine boolean not null default false;

comment on column parlant_agent.in_engine is 'Whether the engine may know it';
