//! What there is at a moment, over all workspaces: numbers for whoever operates the bridge, never for a caller.

super::queries! {
    /// Both counts read partial indexes that hold active rows only, however many have ended.
    COUNT_USAGE = "count_usage" []
        "select (select count(*) from parlant_session where status = 'active') as sessions,
            (select count(*) from parlant_agent where status = 'active') as agents";
}
