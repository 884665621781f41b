//! How PostgreSQL runs each statement on 100,000 agents, 200,000 sessions, 1,000,000 events and 500,000 turns: by indexes, without
//! sorting more than a page of each workspace, touching few pages. That must hold whether it knows the parameters (a
//! custom plan) or not (a generic one, which prepared statements get), and whether or not the tables were vacuumed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use tokio_postgres::Client;

/// Two fifths of the sessions and a fifth of the agents are of one busy workspace; the others are spread over 10,000. A
/// tenth of the sessions is of one user, a quarter with one agent. One session has 400,000 events. Most sessions have
/// ended, a third of the agents is archived. Ids grow with time, as those of version 7 do.
const LARGE: &str = "
    create function pg_temp.id(kind integer, n bigint) returns uuid language sql immutable as $$
        select ('0190' || lpad(to_hex(kind), 4, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    create function pg_temp.agent_of(session bigint) returns bigint language sql immutable as $$
        select case when session % 4 = 0 then 5 else 1 + session * 7 % 100000 end $$;
    create function pg_temp.workspace_of(agent bigint) returns text language sql immutable as $$
        select case when agent % 5 = 0 then 'busy' else 'w' || agent % 10000 end $$;
    set session_replication_role = replica;
    insert into parlant_agent (id, created_at, workspace_id, user_id, name, status, guidelines, tools, in_engine)
    select pg_temp.id(1, n), timestamptz '2026-01-01Z' + n * interval '1 s', pg_temp.workspace_of(n), 'u' || n % 500, 'Agent ' || n,
        case when n % 3 = 1 then 'archived' else 'active' end, '[]', '[]', n < 90000
    from generate_series(1, 100000) n;
    insert into parlant_session (id, created_at, workspace_id, agent_id, user_id, status, context, message_count)
    select pg_temp.id(2, n), timestamptz '2026-01-01Z' + n * interval '1 s', pg_temp.workspace_of(pg_temp.agent_of(n)), pg_temp.id(1, pg_temp.agent_of(n)),
        case when n % 10 = 0 then 'busy' else 'u' || n % 5000 end,
        case when n % 51 = 0 and (n % 10 <> 0 or n > 150000) then 'active' else 'ended' end, '{}',
        case n when 4 then 400000 else 6 end
    from generate_series(1, 200000) n;
    insert into parlant_event (session_id, \"offset\", id, workspace_id, message_type, content, metadata, idempotency_key)
    select pg_temp.id(2, 100001 + n % 100000), n / 100000, pg_temp.id(3, n),
        pg_temp.workspace_of(pg_temp.agent_of(100001 + n % 100000)), 'user', 'hello', '{}',
        case when n % 3 = 0 then 'k' || n / 100000 end
    from generate_series(0, 599999) n;
    insert into parlant_event (session_id, \"offset\", id, workspace_id, message_type, content, metadata)
    select pg_temp.id(2, 4), n, pg_temp.id(4, n), 'busy', 'user', 'hello', '{}' from generate_series(0, 399999) n;
    insert into parlant_outbox (session_id, \"offset\", workspace_id, due_at, lease, state, finished_at)
    select pg_temp.id(2, 100001 + n % 100000), n / 100000, pg_temp.workspace_of(pg_temp.agent_of(100001 + n % 100000)),
        now(), pg_temp.id(5, 1), 'answered', now()
    from generate_series(0, 299999) n;
    insert into parlant_outbox (session_id, \"offset\", workspace_id, due_at, lease, state, finished_at)
    select pg_temp.id(2, 4), n, 'busy', now(), pg_temp.id(5, 1), 'answered', now() from generate_series(0, 199999) n;
    insert into parlant_outbox (session_id, \"offset\", workspace_id, lease, due_at)
    select pg_temp.id(2, 4), n, 'busy', pg_temp.id(5, 1), case n when 399000 then now() else 'infinity' end
    from generate_series(399000, 399999) n;
    insert into parlant_outbox (session_id, \"offset\", workspace_id, lease, due_at)
    select pg_temp.id(2, 190000 + n % 5000), 6 + n / 5000, pg_temp.workspace_of(pg_temp.agent_of(190000 + n % 5000)),
        pg_temp.id(5, 1),
        case n / 5000 when 0 then now() + (n - 4000) * interval '1 s' else 'infinity' end
    from generate_series(0, 19999) n;
    insert into parlant_engine_session (session_id, workspace_id, twin, next_offset, close_at)
    select pg_temp.id(2, n), pg_temp.workspace_of(pg_temp.agent_of(n)), 'twin', 1, case when n % 50 = 0 then now() end
    from generate_series(1, 200000) n;
    set session_replication_role = default;
    analyze";

/// Each case: the statement; the places of which a page each may be compared; the buffer pages that may be touched; the
/// parameters. Ids are written `agent:5`, times `at:5`. FIRST and `FIRST_ID` are the cursor before everything, NEW is an
/// id that is not there. MANY (200), FEW, QUIET and NONE are lists of workspaces, the first two with the busy one.
/// MESSAGES is a list of one.
const CASES: &str = "
    lock_agent_limit                1     10  1, 'busy'
    create_agent                    1    150  NEW, 'w1', 'u1', 'New', 'd', '[]', '[]', null, null, 100
    create_agent                    1    150  NEW, 'w1', 'u1', 'New', 'd', '[]', '[]', null, null, 10
    list_workspace_agents           1    150  'busy', FIRST, FIRST_ID, 101
    list_workspace_agents           1    150  'busy', at:1000, agent:1000, 101
    list_workspace_agents           1    150  'w7', FIRST, FIRST_ID, 101
    list_workspace_agents           1     10  'nowhere', FIRST, FIRST_ID, 101
    list_agents                     4    800  FEW, FIRST, FIRST_ID, 101
    list_agents                     4    800  FEW, at:1000, agent:1000, 101
    list_agents                   200  10000  MANY, FIRST, FIRST_ID, 101
    list_agents                     3    800  QUIET, FIRST, FIRST_ID, 101
    get_agent                       1     10  agent:5, MANY
    get_agent                       1     10  agent:5, QUIET
    update_agent                    1     80  agent:5, MANY, 1, 'x', true, 'd', null, null, false, null, false, null
    update_agent                    1     80  agent:5, FEW, null, null, false, null, '[]', '[]', true, null, true, 1
    archive_agent                   1     80  agent:5, MANY, MANY, 'u1'
    archive_agent                   1     80  agent:5, NONE, MANY, 'u5'
    end_sessions_of_agent           1  30000  'busy', agent:5
    end_sessions_of_agent           1    100  'w11', agent:11
    lock_session_limit              1     10  1, 'busy'
    start_session                   1    150  NEW, agent:5, 'busy', 'busy', '{}', 10000
    start_session                   1    150  NEW, agent:5, 'busy', 'u7', '{}', 100
    start_session                   1    150  NEW, agent:5, 'w1', 'u7', '{}', 100
    list_sessions                 200  10000  NONE, MANY, 'busy', FIRST, FIRST_ID, 101, '{active,ended}'
    list_sessions                   4    800  NONE, FEW, 'busy', FIRST, FIRST_ID, 101, '{active,ended}'
    list_sessions                   4    800  NONE, FEW, 'u7', at:1000, session:1000, 101, '{ended}'
    list_sessions                   7   1500  FEW, QUIET, 'busy', FIRST, FIRST_ID, 101, '{ended}'
    list_sessions                   4   1500  FEW, NONE, 'busy', at:10000, session:10000, 101, '{active,ended}'
    list_sessions                   1    800  '{w9}', NONE, 'busy', FIRST, FIRST_ID, 101, '{active,ended}'
    list_active_sessions            1   1000  NONE, MANY, 'busy', FIRST, FIRST_ID, 101
    list_active_sessions            1   1000  NONE, QUIET, 'busy', FIRST, FIRST_ID, 101
    list_active_sessions            5   1000  FEW, QUIET, 'u7', FIRST, FIRST_ID, 101
    list_active_sessions            5   1000  FEW, NONE, 'u7', at:10000, session:10000, 101
    list_agent_sessions             1   1000  NONE, FEW, 'busy', FIRST, FIRST_ID, 101, agent:5, '{active,ended}'
    list_agent_sessions             1   1000  NONE, FEW, 'u7', FIRST, FIRST_ID, 101, agent:5, '{ended}'
    list_agent_sessions             1   1000  FEW, NONE, 'busy', at:10000, session:10000, 101, agent:5, '{ended}'
    list_agent_sessions             1   1000  MANY, NONE, 'busy', FIRST, FIRST_ID, 101, agent:11, '{active,ended}'
    list_agent_sessions             1     20  QUIET, QUIET, 'busy', FIRST, FIRST_ID, 101, agent:5, '{active,ended}'
    list_active_agent_sessions      1   1500  NONE, FEW, 'busy', FIRST, FIRST_ID, 101, agent:5
    list_active_agent_sessions      1   1500  NONE, FEW, 'u7', FIRST, FIRST_ID, 101, agent:5
    list_active_agent_sessions      1   1500  FEW, NONE, 'u7', FIRST, FIRST_ID, 101, agent:5
    list_active_agent_sessions      1   1500  MANY, NONE, 'u7', FIRST, FIRST_ID, 101, agent:11
    get_session                     1     10  session:4, MANY, 'u1', QUIET
    get_session                     1     10  session:4, QUIET, 'busy', MANY
    end_session                     1     80  session:153000, MANY, 'u1', QUIET
    end_session                     1     80  session:153000, NONE, 'busy', MANY
    end_session                     1     20  session:4, MANY, 'u1', QUIET
    post_message                    1     80  session:153000, MANY, 'busy', NEW, 'hello', 'user', '{}', 'new', 0
    post_message                    1    110  session:153000, MANY, 'busy', NEW, 'hello', 'user', '{}', null, 1
    post_message                    1     80  session:100001, MANY, 'u1', NEW, 'hello', 'user', '{}', 'k0', 1
    post_message                    1     20  session:153000, QUIET, 'busy', NEW, 'hello', 'user', '{}', null, 1
    session_exists                  1     10  session:4, MANY, 'u4'
    session_exists                  1     10  session:10, MANY, 'busy'
    list_messages                   1     60  session:4, MANY, 'u4', NONE, 0, 100
    list_messages                   1     60  session:4, NONE, 'u4', MANY, 399900, 400000
    list_messages                   1     20  session:4, MANY, 'u4', NONE, 4294967295, 4294967395
    list_messages                   1     60  session:100001, MANY, 'u1', MANY, 0, 100
    claim_turns                     1   1500  NEW, 15, 32
    load_turn                       1     30  session:4, 399000, lease:1, 'busy'
    load_turn                       1     10  session:4, 399000, NEW, 'busy'
    keep_turn                       1     60  session:4, 399000, lease:1, 'busy', 15
    keep_turn                       1     10  session:4, 1000, lease:1, 'busy', 15
    remember_agent                  1     80  agent:99000, 'busy'
    list_history                    1     80  session:4, 'busy', 399000, 'x', 50
    list_history                    1     80  session:100001, 'w8', 3, 'x', 50
    set_twin                        1    100  session:4, 399000, lease:1, 'busy', 'other'
    set_twin                        1    100  session:4, 399000, lease:1, 'busy', null
    mark_delivered                  1    100  session:4, 399000, lease:1, 'busy', 'trace', 7
    store_turn                      1    150  session:4, 399000, lease:1, 'busy', 7, 0, 'open', null, MESSAGES
    store_turn                      1    150  session:4, 399000, lease:1, 'busy', 7, 1, 'answered', null, MESSAGES
    store_turn                      1     10  session:4, 399000, NEW, 'busy', 7, 0, 'failed', 'gone', MESSAGES
    wake_next_turn                  1     60  session:4, 399000, 'busy'
    wake_next_turn                  1     60  session:190004, 6, 'busy'
    list_forgotten_agents           1    150  30, 100
    forget_agent                    1     80  agent:25, 'busy'
    list_left_twins                 1    150  100
    forget_twin                     1     60  session:4, 'busy', 'twin'
    try_reaper_lock                 1     10  1
    next_workspaces                 1   3000  '', 500
    next_workspaces                 1   3000  'w500', 500
    archive_agents_of_workspace     1   5000  'busy', 100
    archive_agents_of_workspace     1   5000  'w500', 100
    end_sessions_of_agents          1  20000  'busy', array[agent:10, agent:15]::uuid[]
    count_usage                     1   8000
";

const PAGE: f64 = 101.0;

/// One statement with one set of parameters.
struct Case {
    name: &'static str,
    places: f64,
    pages: f64,
    parameters: String,
}

fn cases() -> Vec<Case> {
    let lines = CASES.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(case).collect()
}

fn case(line: &'static str) -> Case {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap();
    let (name, places, pages) = (word(), word(), word());
    Case {
        name,
        places: places.parse().unwrap(),
        pages: pages.parse().unwrap(),
        parameters: parameters(&words.collect::<Vec<_>>().join(" ")),
    }
}

fn parameters(text: &str) -> String {
    let workspaces = |count: usize| {
        let quiet: Vec<_> = (1..count).map(|number| format!(",w{number}")).collect();
        format!("'{{busy{}}}'", quiet.concat())
    };
    let mut text = text
        .replace("FIRST_ID", "'ffffffff-ffff-ffff-ffff-ffffffffffff'")
        .replace("FIRST", "'infinity'")
        .replace("MESSAGES", "jsonb_build_array(jsonb_build_object('id', NEW, 'message_type', 'agent', 'content', 'hello', 'metadata', '{}'::jsonb))")
        .replace("NEW", "'01907fff-0000-7000-8000-000000000000'")
        .replace("MANY", &workspaces(200))
        .replace("FEW", &workspaces(4))
        .replace("QUIET", "'{w1,w2,w3}'")
        .replace("NONE", "'{}'");
    for (kind, what) in [(0, "at:"), (1, "agent:"), (2, "session:"), (5, "lease:")] {
        while let Some(start) = text.find(what) {
            let digits = &text[start + what.len()..];
            let end = digits.find(|c: char| !c.is_ascii_digit());
            let digits = &digits[..end.unwrap_or(digits.len())];
            let number: u64 = digits.parse().unwrap();
            let written = start..start + what.len() + digits.len();
            let value = match kind {
                0 => format!("timestamptz '2026-01-01Z' + interval '{number} s'"),
                kind => format!("'0190{kind:04x}-0000-7000-8000-{number:012x}'"),
            };
            text.replace_range(written, &value);
        }
    }
    text
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let stated: BTreeSet<_> = parlant_conversations::statements().iter().map(|query| query.name).collect();
    let explained: BTreeSet<_> = cases().iter().map(|case| case.name).collect();
    assert_eq!(explained, stated, "each statement has a case");

    let database = parlant_test_support::database().await;
    let client = database.superuser().await;
    client.batch_execute(LARGE).await.unwrap();
    let mut problems = Vec::new();
    for vacuumed in [false, true] {
        if vacuumed {
            client.batch_execute("vacuum analyze").await.unwrap();
        }
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let setting = format!("deallocate all; set plan_cache_mode = {mode}");
            client.batch_execute(&setting).await.unwrap();
            prepare(&client).await;
            for case in cases() {
                let plan = explain(&client, &case).await;
                let found = judge(&plan, &case);
                problems.extend(found.map(|problem| {
                    let Case { name, parameters, .. } = &case;
                    let outline = outline(&plan);
                    format!("{name}({parameters:.200}) vacuumed={vacuumed} {mode}: {problem}\n{outline}")
                }));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

async fn prepare(client: &Client) {
    for query in parlant_conversations::statements() {
        let types = query.types.iter().map(|kind| match kind.name() {
            "_text" => "text[]",
            "_uuid" => "uuid[]",
            name => name,
        });
        let types = types.collect::<Vec<_>>().join(", ");
        let sql = format!("prepare {}{} as\n{}", query.name, parenthesized(&types), query.sql);
        client.batch_execute(&sql).await.expect(&sql);
    }
}

async fn explain(client: &Client, case: &Case) -> Value {
    let Case { name, parameters, .. } = case;
    client.batch_execute("begin").await.unwrap();
    let sql = format!(
        "explain (analyze, buffers, costs off, timing off, summary off, format json) execute {name}{}",
        parenthesized(parameters)
    );
    let row = client.query_one(&sql, &[]).await.expect(&sql);
    client.batch_execute("rollback").await.unwrap();
    let mut plan: Value = row.get(0);
    plan[0]["Plan"].take()
}

/// What has no parameters may have no parentheses.
fn parenthesized(list: &str) -> String {
    if list.is_empty() { String::new() } else { format!("({list})") }
}

fn judge(plan: &Value, case: &Case) -> impl Iterator<Item = String> {
    let mut problems = Vec::new();
    let pages = number(plan, "Shared Hit Blocks") + number(plan, "Shared Read Blocks");
    if pages > case.pages {
        problems.push(format!("touches {pages} pages"));
    }
    walk(plan, &mut |node| {
        // Most agents are active, and there are not many: to count them, PostgreSQL may well read them all.
        let counts_agents = case.name == "count_usage" && node["Relation Name"] == "parlant_agent";
        if node["Node Type"] == "Seq Scan" && !counts_agents {
            problems.push(format!("scans the whole of {}", node["Relation Name"]));
        }
        if node["Node Type"] == "Sort" || node["Node Type"] == "Incremental Sort" {
            let input = &node["Plans"][0];
            let sorted = rows(input);
            if rows(node) > PAGE || sorted > PAGE * case.places {
                problems.push(format!("sorts {sorted} rows"));
            }
        }
    });
    problems.into_iter()
}

/// The nodes of a plan, one a line.
fn outline(plan: &Value) -> String {
    let mut outline = String::new();
    walk(plan, &mut |node| {
        let names = ["Node Type", "Relation Name", "Index Name", "Index Cond", "Filter"];
        let names = names.map(|name| node[name].as_str().unwrap_or("-"));
        let (names, rows) = (names.join(" | "), rows(node));
        writeln!(outline, "    {names}: {rows} rows").unwrap();
    });
    outline
}

/// Rows of all loops of a node.
fn rows(node: &Value) -> f64 {
    number(node, "Actual Rows") * number(node, "Actual Loops")
}

fn number(node: &Value, name: &str) -> f64 {
    node[name].as_f64().unwrap_or_default()
}

fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    visit(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, visit);
    }
}
