-- no-transaction
create index concurrently if not exists parlant_agent_forgotten_idx on parlant_agent (updated_at)
    where status = 'archived' and in_engine;
