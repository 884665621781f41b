//! Whatever happens, what people are told makes sense: held against what a person would expect of one alert at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlant_alerting::{Config, Finding, Key, Machine, Notification, Status};
use proptest::prelude::*;

use crate::machine::{fires, key, moment, rule, saved};

const DISKS: [&str; 3] = ["/", "/tmp", "/var"];
const HOLD: i64 = 60;
const REPEAT: Duration = Duration::from_hours(1);

/// What happens in a round.
#[derive(Debug, Clone)]
struct Round {
    /// Since the last one; the clock may be set back.
    seconds: i64,
    /// The disks that are full; none: nobody can tell.
    full: Option<BTreeSet<usize>>,
    /// What others tell.
    elsewhere: BTreeSet<usize>,
    /// The process begins anew before it.
    restarts: bool,
}

fn round() -> impl Strategy<Value = Round> {
    let seconds = prop_oneof![20 => Just(30), 3 => Just(60), 2 => Just(1000), 1 => Just(5000), 1 => -5000..0_i64];
    let disks = || proptest::collection::btree_set(0..DISKS.len(), 0..=DISKS.len());
    let full = prop_oneof![8 => disks().prop_map(Some), 1 => Just(None)];
    let elsewhere = prop_oneof![6 => Just(BTreeSet::new()), 1 => disks()];
    (seconds, full, elsewhere, prop::bool::weighted(0.05)).prop_map(|(seconds, full, elsewhere, restarts)| Round {
        seconds,
        full,
        elsewhere,
        restarts,
    })
}

/// What is known of one disk, reckoned in time that only goes forward.
#[derive(Debug, Default, Clone)]
struct Disk {
    since: Option<i64>,
    firing: bool,
    told: bool,
    /// For so many rounds it has fired, and nobody else told it.
    alone: u32,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_alternates_and_is_true(rounds in proptest::collection::vec(round(), 1..120)) {
        let config = Config { repeat_interval: REPEAT, ..Config::default() };
        let new = || Machine::new(vec![rule("A", Duration::from_secs(HOLD.unsigned_abs()))], &config);
        let (mut machine, mut wall, mut time) = (new(), 0, 0);
        let mut disks = vec![Disk::default(); DISKS.len()];
        let alone = rounds.iter().all(|round| round.elsewhere.is_empty());
        let mut firings = BTreeMap::<usize, Vec<i64>>::new();
        for round in rounds {
            wall += round.seconds;
            // A clock that is set back does not say how long that took.
            time += round.seconds.max(0);
            if round.restarts {
                let earlier = machine;
                machine = new();
                machine.adopt(moment(wall - round.seconds), &saved(&earlier, wall - round.seconds));
            }
            let names = |disks: &BTreeSet<usize>| disks.iter().map(|disk| DISKS[*disk]).collect::<Vec<_>>();
            let finding = round.full.as_ref().map_or(Finding::Unknown, |full| fires(&names(full)));
            machine.observe(moment(wall), &[finding]);
            let wanted = machine.firing();
            let elsewhere: BTreeSet<Key> = round.elsewhere.iter().map(|disk| key("A", DISKS[*disk])).collect();
            let news = machine.tell(&elsewhere);
            for (index, disk) in disks.iter_mut().enumerate() {
                match &round.full {
                    None if !disk.firing => disk.since = None,
                    None => {}
                    Some(full) if full.contains(&index) => {
                        disk.firing |= time - *disk.since.get_or_insert(time) >= HOLD;
                    }
                    Some(_) => *disk = Disk { told: disk.told, ..Disk::default() },
                }
                let is_about = |news: &&Notification| news.key == key("A", DISKS[index]);
                let said: Vec<_> = news.iter().filter(is_about).map(|news| news.status).collect();
                prop_assert!(said.len() <= 1, "{said:?} at once");
                let others = round.elsewhere.contains(&index);
                prop_assert!(!others || said.is_empty(), "told twice");
                prop_assert!(!disk.firing || wanted.contains(&key("A", DISKS[index])), "nobody claims it");
                match said.first() {
                    Some(Status::Firing) => {
                        prop_assert!(disk.firing && !disk.told, "fires: {disk:?}");
                        disk.told = true;
                        firings.entry(index).or_default().push(time);
                    }
                    Some(Status::StillFiring) => prop_assert!(disk.firing && disk.told, "still: {disk:?}"),
                    Some(Status::Resolved) => {
                        prop_assert!(!disk.firing && disk.told, "over: {disk:?}");
                        disk.told = false;
                    }
                    Some(Status::Test) => prop_assert!(false),
                    None => {}
                }
                disk.told &= !others;
                disk.alone = if disk.firing && !others { disk.alone + 1 } else { 0 };
                prop_assert!(disk.alone < 2 || disk.told, "nobody is told");
            }
        }
        // In the end all is well, and people know.
        for _ in 0..2 {
            wall += 1000;
            machine.observe(moment(wall), &[fires(&[])]);
            for news in machine.tell(&BTreeSet::new()) {
                prop_assert_eq!(news.status, Status::Resolved);
                let disk = DISKS.iter().position(|disk| key("A", disk) == news.key).unwrap();
                prop_assert!(disks[disk].told);
                disks[disk].told = false;
            }
        }
        prop_assert!(disks.iter().all(|disk| !disk.told), "{disks:?}");
        for firings in firings.values().filter(|_| alone) {
            let hour = |from: i64| firings.iter().filter(|at| (from..from + 3600).contains(*at)).count();
            prop_assert!(firings.iter().all(|from| hour(*from) <= 6), "{firings:?}");
        }
    }
}
