//! What there is at a moment, over all workspaces: numbers for whoever operates the bridge, never for a caller.

super::queries! {
    /// All counts read partial indexes that hold active or open rows only, however many have ended.
    COUNT_USAGE = "count_usage" []
        "select (select count(*) from parlant_session where status = 'active') as sessions,
            (select count(*) from parlant_agent where status = 'active') as agents,
            outbox.pending, outbox.oldest
        from (
            select count(*) as pending,
                coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as oldest
            from parlant_outbox
            where state = 'open'
        ) as outbox";
}
