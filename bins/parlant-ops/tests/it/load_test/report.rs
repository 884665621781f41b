use std::collections::BTreeSet;

use serde_json::Value;

use super::{Server, load_test, report};

/// Programs read these.
const NAMES: &str = "\
duration_seconds
interrupted
loads[].concurrency
loads[].connections
loads[].generator.lag_seconds{}
loads[].generator.overloaded
loads[].generator.unsent_over_limit
loads[].generator.unsent_too_late
loads[].max_in_flight
loads[].model
loads[].rate_per_second
loads[].scenarios[].bytes
loads[].scenarios[].error_kinds[].example
loads[].scenarios[].error_kinds[].first_at_seconds
loads[].scenarios[].error_kinds[].kind
loads[].scenarios[].error_kinds[].latency_seconds{}
loads[].scenarios[].error_rate
loads[].scenarios[].errors
loads[].scenarios[].good
loads[].scenarios[].good_per_second
loads[].scenarios[].latency_seconds{}
loads[].scenarios[].method
loads[].scenarios[].name
loads[].scenarios[].oldest_unfinished_seconds
loads[].scenarios[].path
loads[].scenarios[].requests
loads[].scenarios[].statuses[].expected
loads[].scenarios[].statuses[].latency_seconds{}
loads[].scenarios[].statuses[].status
loads[].scenarios[].unfinished
loads[].scenarios[].unsent
loads[].silence.longest_seconds
loads[].silence.share
loads[].warm_up_seconds
loads[].window_seconds
met
notes[]
started_at
target
thresholds[].limit
thresholds[].measured
thresholds[].met
thresholds[].scenario
thresholds[].wanted";

const TIMES: [&str; 10] = ["count", "max", "mean", "median", "min", "p50", "p90", "p95", "p99", "p99_9"];

fn names(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(times) if times.contains_key("p99_9") => {
            assert!(times.keys().eq(TIMES), "{value}");
            found.insert(format!("{at}{{}}"));
        }
        Value::Object(fields) => {
            let dot = if at.is_empty() { "" } else { "." };
            fields.iter().for_each(|(name, value)| names(value, &format!("{at}{dot}{name}"), found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| names(value, &format!("{at}[]"), found)),
        _ => drop(found.insert(at.to_owned())),
    }
}

#[test]
fn the_report_is_one_json_document_with_stable_names_that_the_page_explains() {
    let server = Server::start();
    let arguments = ["--requests", "5", "--json", "--max-p95", "1s"];
    let report = report(&load_test(&server, &arguments).env("PARLANT_TOKEN", "t").output().unwrap());
    let mut found = BTreeSet::new();
    names(&report, "", &mut found);
    assert_eq!(found.into_iter().collect::<Vec<_>>().join("\n"), NAMES);

    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/load-test.md")).unwrap();
    for path in NAMES.lines().map(|path| path.trim_end_matches(['[', ']', '{', '}'])) {
        let name = path.rsplit('.').next().unwrap();
        assert!(page.contains(&format!("`{name}`")), "the page does not say what {name} is");
    }
    for name in TIMES {
        assert!(page.contains(&format!("`{name}`")), "the page does not say what {name} is");
    }
    let help = String::from_utf8(crate::run(&["load-test", "--help"]).stdout).unwrap();
    for option in help.split_whitespace().filter(|word| word.starts_with("--")) {
        let option = option.trim_end_matches([',', '.', ';']);
        assert!(page.contains(&format!("`{option}")), "the page does not say what {option} does");
    }
}
