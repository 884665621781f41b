//! What people are told of what fires.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parlant_alerting::{
    Config, Expression, Finding, Inhibition, Key, Machine, Matcher, Notification, Reading, Rule, Selector, Severity,
    State, Status,
};

pub(crate) const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn rule(name: &'static str, hold: Duration) -> Rule {
    Rule {
        name,
        severity: Severity::Warning,
        hold,
        expression: Selector::new("number").last().above(0.0),
        summary: "Something is wrong",
        description: "{disk} is {percent} full.",
        names: None,
    }
}

pub(crate) fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn reading(disk: &str) -> Reading {
    Reading { labels: vec![("disk".to_owned(), disk.to_owned())], value: 0.5, ..Reading::default() }
}

/// It fires for these disks.
pub(crate) fn fires(disks: &[&str]) -> Finding {
    Finding::Values(disks.iter().map(|disk| reading(disk)).collect())
}

pub(crate) fn key(name: &str, disk: &str) -> Key {
    let labels = vec![("disk".to_owned(), disk.to_owned())];
    Key { alert: name.to_owned(), severity: Severity::Warning, labels }
}

/// What the next process reads of this one's.
pub(crate) fn saved(machine: &Machine, seconds: i64) -> State {
    let alerts = machine.alerts().map(|(key, alert)| (key.clone(), alert.clone())).collect();
    let state = State { at: moment(seconds), alerts, ..State::default() };
    serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap()
}

/// A machine, and what others tell.
struct Told {
    machine: Machine,
    elsewhere: BTreeSet<Key>,
}

impl Told {
    fn by(rules: Vec<Rule>) -> Self {
        Self { machine: Machine::new(rules, &Config::default()), elsewhere: BTreeSet::new() }
    }

    fn inhibited(rules: Vec<Rule>, cause: &'static [&'static str], explained: &'static [&'static str]) -> Self {
        let named = |patterns| vec![Matcher { label: "alertname", negated: false, patterns }];
        let inhibition = Inhibition { cause: named(cause), explained: named(explained), equal: &["disk"] };
        Self {
            machine: Machine::new(rules, &Config::default()).with_inhibitions(vec![inhibition]),
            elsewhere: BTreeSet::new(),
        }
    }

    fn notifications(&mut self, seconds: i64, findings: &[Finding]) -> Vec<Notification> {
        self.machine.observe(moment(seconds), findings);
        self.machine.tell(&self.elsewhere)
    }

    /// What is said in a round, as `alert/disk status`.
    fn round(&mut self, seconds: i64, findings: &[Finding]) -> Vec<String> {
        let news = self.notifications(seconds, findings).into_iter();
        news.map(|news| format!("{}/{} {}", news.key.alert, news.key.labels[0].1, news.status.as_str())).collect()
    }

    /// What a process that begins now knows.
    fn restarted(&self, rules: Vec<Rule>, seconds: i64) -> Self {
        let state = saved(&self.machine, seconds);
        let mut next = Self::by(rules);
        next.machine.adopt(moment(seconds), &state);
        next
    }
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn an_alert_fires_once_its_condition_has_held_and_ends_with_it() {
    let mut told = Told::by(vec![rule("A", MINUTE)]);
    assert_eq!(told.round(0, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(59, &[fires(&["/", "/var"])]), NOTHING);
    assert_eq!(told.round(60, &[fires(&["/", "/var"])]), ["A// firing"]);
    assert_eq!(told.round(90, &[fires(&["/", "/var"])]), NOTHING);
    // One ends, the other has just held for long enough.
    assert_eq!(told.round(119, &[fires(&["/var"])]), ["A// resolved", "A//var firing"]);
    assert_eq!(told.round(150, &[fires(&[])]), ["A//var resolved"]);
    assert_eq!(told.round(180, &[fires(&[])]), NOTHING);
    // Whatever held for less is never heard of.
    assert_eq!(told.round(210, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(240, &[fires(&[])]), NOTHING);
}

#[test]
fn what_is_said_names_the_thing_and_how_long_it_lasted() {
    let config = Config { fields: vec![("instance".to_owned(), "a:8001".to_owned())], ..Config::default() };
    let machine = Machine::new(vec![rule("DiskFull", Duration::ZERO)], &config);
    let mut told = Told { machine, elsewhere: BTreeSet::new() };
    let firing = told.notifications(0, &[fires(&["/"])]).remove(0);
    let expected = Notification {
        status: Status::Firing,
        key: key("DiskFull", "/"),
        title: "Something is wrong".to_owned(),
        message: "/ is 50% full.".to_owned(),
        fields: [("severity", "warning"), ("since", "2027-01-15T08:00:00Z"), ("disk", "/"), ("instance", "a:8001")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        runbook_url: Some("https://docs.sim.com/runbooks/disk-full".to_owned()),
        at: moment(0),
    };
    assert_eq!(firing, expected);
    let resolved = told.notifications(3725, &[fires(&[])]).remove(0);
    assert_eq!(resolved.title, "Resolved: Something is wrong");
    assert_eq!((resolved.status, resolved.at), (Status::Resolved, moment(3725)));
    assert_eq!(resolved.fields[2], ("lasted".to_owned(), "1h 2m 5s".to_owned()));
    assert_ne!(firing.id(), resolved.id());
    assert_eq!(firing.id(), expected.id());
}

#[test]
fn people_are_reminded_of_what_goes_on() {
    let mut told = Told::by(vec![rule("A", Duration::ZERO)]);
    let four_hours = 4 * 3600;
    assert_eq!(told.round(0, &[fires(&["/"])]), ["A// firing"]);
    assert_eq!(told.round(four_hours - 1, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.notifications(four_hours, &[fires(&["/"])])[0].title, "Still firing: Something is wrong");
    assert_eq!(told.round(2 * four_hours - 1, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(2 * four_hours, &[fires(&["/"])]), ["A// still_firing"]);
    assert_eq!(told.round(2 * four_hours + 30, &[fires(&[])]), ["A// resolved"]);
    let config = Config { repeat_interval: Duration::ZERO, ..Config::default() };
    told = Told { machine: Machine::new(vec![rule("A", Duration::ZERO)], &config), ..told };
    assert_eq!(told.round(0, &[fires(&["/"])]), ["A// firing"]);
    assert_eq!(told.round(100 * four_hours, &[fires(&["/"])]), NOTHING);
}

#[test]
fn what_nobody_can_tell_neither_ends_an_alert_nor_lets_it_fire() {
    let mut told = Told::by(vec![rule("A", MINUTE)]);
    assert_eq!(told.round(0, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(30, &[Finding::Unknown]), NOTHING);
    assert!(told.machine.unknown().contains("A"));
    // It starts over.
    assert_eq!(told.round(60, &[fires(&["/"])]), NOTHING);
    assert!(told.machine.unknown().is_empty());
    assert_eq!(told.round(120, &[fires(&["/"])]), ["A// firing"]);
    for seconds in (150..10_000).step_by(30) {
        assert_eq!(told.round(seconds, &[Finding::Unknown]), NOTHING);
    }
    assert!(told.machine.alerts().all(|(_, alert)| alert.unknown && alert.firing.is_some()));
    assert_eq!(told.round(10_000, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(10_030, &[Finding::Unknown]), NOTHING);
    assert_eq!(told.round(10_060, &[fires(&[])]), ["A// resolved"]);
}

#[test]
fn what_another_alert_explains_is_told_if_it_outlives_it_by_two_rounds() {
    let rules = || vec![rule("Cause", Duration::ZERO), rule("Effect", Duration::ZERO)];
    let mut told = Told::inhibited(rules(), &["Cause"], &["Effect"]);
    assert_eq!(told.round(0, &[fires(&["/"]), fires(&["/", "/var"])]), ["Cause// firing", "Effect//var firing"]);
    assert_eq!(told.machine.firing(), [key("Cause", "/"), key("Effect", "/var")]);
    assert_eq!(told.round(30, &[Finding::Unknown, fires(&["/"])]), ["Effect//var resolved"]);
    // The cause ends, and so does what it caused.
    assert_eq!(told.round(60, &[fires(&[]), fires(&["/"])]), ["Cause// resolved"]);
    assert_eq!(told.round(90, &[fires(&[]), fires(&["/"])]), NOTHING);
    assert_eq!(told.round(120, &[fires(&[]), fires(&[])]), NOTHING);
    // It ends, and the other goes on.
    assert_eq!(told.round(150, &[fires(&["/"]), fires(&["/"])]), ["Cause// firing"]);
    assert_eq!(told.round(180, &[fires(&[]), fires(&["/"])]), ["Cause// resolved"]);
    assert_eq!(told.round(210, &[fires(&[]), fires(&["/"])]), NOTHING);
    assert_eq!(told.round(240, &[fires(&[]), fires(&["/"])]), ["Effect// firing"]);
    // What was told before its cause appeared is told to be over as well; nobody is reminded of it.
    assert_eq!(
        told.round(5 * 3600, &[fires(&["/var"]), fires(&["/"])]),
        ["Cause//var firing", "Effect// still_firing"]
    );
    assert_eq!(told.round(10 * 3600, &[fires(&["/"]), fires(&["/"])]), ["Cause// firing", "Cause//var resolved"]);
    assert_eq!(told.round(10 * 3600 + 30, &[fires(&["/"]), fires(&[])]), ["Effect// resolved"]);
}

#[test]
fn what_another_replica_tells_is_told_here_once_it_has_let_go_for_two_rounds() {
    let mut told = Told::by(vec![rule("A", Duration::ZERO)]);
    told.elsewhere = BTreeSet::from([key("A", "/")]);
    assert_eq!(told.round(0, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.machine.firing(), [key("A", "/")]);
    assert_eq!(told.round(30, &[fires(&[])]), NOTHING, "it is told to be over elsewhere");
    assert_eq!(told.round(60, &[fires(&["/"])]), NOTHING);
    told.elsewhere.clear();
    assert_eq!(told.round(90, &[fires(&["/"])]), NOTHING);
    told.elsewhere.insert(key("A", "/"));
    assert_eq!(told.round(120, &[fires(&["/"])]), NOTHING);
    told.elsewhere.clear();
    assert_eq!(told.round(150, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(180, &[fires(&["/"])]), ["A// firing"]);
    // Another took it over: it tells the end as well.
    told.elsewhere.insert(key("A", "/"));
    assert_eq!(told.round(210, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.round(240, &[fires(&[])]), NOTHING);
    assert_eq!(told.machine.firing(), []);
}

#[test]
fn ten_thousand_flaps_in_a_minute_make_six_messages() {
    let mut told = Told::by(vec![rule("A", Duration::ZERO)]);
    let mut news = Vec::new();
    let mut round = |milliseconds: i64, finding: Finding| {
        told.machine.observe(moment(0) + TimeDelta::milliseconds(milliseconds), &[finding]);
        news.extend(told.machine.tell(&told.elsewhere));
    };
    for flap in 0..10_000 {
        round(6 * flap, fires(&["/"]));
        round(6 * flap + 3, fires(&[]));
    }
    for second in 60..3600 {
        round(1000 * second, fires(&[]));
    }
    let said: Vec<_> = news.iter().map(|news| news.status).collect();
    assert_eq!(said, [Status::Firing, Status::Resolved].repeat(3));
    assert!(news[4].message.ends_with("It comes and goes: its end is told once it was quiet for 15 minutes."));
    assert!(!news[3].message.contains("comes and goes") && !news[5].message.contains("comes and goes"));
    // The end is that of the last flap, a quarter of an hour before it is told.
    assert_eq!(news[5].at, moment(0) + TimeDelta::milliseconds(6 * 9_999 + 3));
}

#[test]
fn an_alert_that_flaps_as_slowly_as_the_calm_allows_makes_twelve_messages_an_hour_at_most() {
    for period in [60, 300, 901, 930, 960, 1200, 1799] {
        let mut told = Told::by(vec![rule("A", Duration::ZERO)]);
        let mut at = Vec::new();
        for second in (0..100_000).step_by(30) {
            let fires = if second % (2 * period) < 30 { fires(&["/"]) } else { fires(&[]) };
            at.extend(told.notifications(second, &[fires]).iter().map(|_| second));
        }
        let hour = |from: i64| at.iter().filter(|at| (from..from + 3600).contains(*at)).count();
        let most = (0..100_000).step_by(30).map(hour).max().unwrap();
        assert!(most <= 12, "{period} s: {most}");
    }
}

#[test]
fn a_restart_neither_repeats_what_was_told_nor_forgets_to_end_it() {
    let rules = || vec![rule("A", Duration::ZERO), rule("B", 5 * MINUTE)];
    let mut told = Told::by(rules());
    assert_eq!(told.round(0, &[fires(&["/", "/var"]), fires(&["/"])]), ["A// firing", "A//var firing"]);
    let mut next = told.restarted(rules(), 60);
    assert_eq!(next.round(60, &[Finding::Unknown, fires(&["/"])]), NOTHING, "its history is short");
    assert_eq!(next.round(90, &[fires(&["/"]), fires(&["/"])]), ["A//var resolved"]);
    // What was about to fire was so before the restart as well.
    assert_eq!(next.round(299, &[fires(&["/"]), fires(&["/"])]), NOTHING);
    assert_eq!(next.round(300, &[fires(&["/"]), fires(&["/"])]), ["B// firing"]);
    // A rule is gone with the version that had it.
    let mut downgraded = next.restarted(vec![rule("A", Duration::ZERO)], 330);
    assert_eq!(downgraded.round(330, &[fires(&["/"])]), ["B// resolved"]);
    // After a long time nobody knows whether what was about to fire went on.
    told.round(100, &[fires(&["/", "/var"]), fires(&["/"])]);
    let mut later = told.restarted(rules(), 100_000);
    let reminded = ["A// still_firing", "A//var still_firing"];
    assert_eq!(later.round(100_000, &[fires(&["/", "/var"]), fires(&["/"])]), reminded);
}

#[test]
fn what_flapped_before_a_restart_is_told_to_be_over_after_it() {
    let rules = || vec![rule("A", Duration::ZERO)];
    let mut told = Told::by(rules());
    for flap in 0..3 {
        told.round(60 * flap, &[fires(&["/"])]);
        told.round(60 * flap + 30, &[fires(&[])]);
    }
    let mut next = told.restarted(rules(), 200);
    assert_eq!(next.round(200, &[fires(&[])]), NOTHING);
    assert_eq!(next.round(150 + 15 * 60 - 1, &[fires(&[])]), NOTHING);
    assert_eq!(next.round(150 + 15 * 60, &[fires(&[])]), ["A// resolved"]);
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let mut told = Told::by(vec![rule("A", MINUTE), rule("B", Duration::ZERO)]);
    told.round(100_000, &[fires(&["/"]), fires(&["/"])]);
    assert_eq!(told.round(0, &[fires(&["/"]), fires(&["/"])]), NOTHING);
    assert_eq!(told.round(30, &[fires(&["/"]), fires(&["/"])]), NOTHING);
    assert_eq!(told.round(60, &[fires(&["/"]), fires(&["/"])]), ["A// firing"]);
    let mut earlier = told.restarted(vec![rule("A", MINUTE), rule("B", Duration::ZERO)], 60);
    assert_eq!(earlier.round(-100_000, &[fires(&["/"]), fires(&["/"])]), NOTHING);
    assert_eq!(earlier.round(-100_000 + 5 * 3600, &[fires(&["/"]), fires(&["/"])]).len(), 2, "reminders");
    assert_eq!(earlier.round(-100_000, &[fires(&[]), fires(&[])]), ["A// resolved", "B// resolved"]);
}

#[test]
fn the_watchdog_is_counted_and_not_told() {
    let watchdog = Rule { expression: Expression::Always, ..rule("Watchdog", Duration::ZERO) };
    let mut told = Told::by(vec![watchdog]);
    assert_eq!(told.round(0, &[fires(&["/"])]), NOTHING);
    assert_eq!(told.machine.firing(), []);
    assert!(told.machine.alerts().all(|(_, alert)| alert.firing.is_some()));
}

#[test]
fn the_number_of_alerts_has_a_bound() {
    let mut told = Told::by(vec![rule("A", Duration::ZERO)]);
    let disks: Vec<_> = (0..5000).map(|disk| format!("/{disk:04}")).collect();
    let disks: Vec<_> = disks.iter().map(String::as_str).collect();
    assert_eq!(told.round(0, &[fires(&disks)]).len(), 1000);
    assert_eq!(told.round(30, &[fires(&disks)]), NOTHING);
    assert_eq!(told.round(60, &[fires(&[])]).len(), 1000);
}
