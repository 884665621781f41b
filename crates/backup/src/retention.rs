//! Which backups may go: a pure function of what there is, the rules and the time.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};

/// How far in the future a backup's name may lie: two machines' clocks never agree exactly.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(10);

/// A pause before the newest backups that is this many times the usual one is not believed.
const JUMP_FACTOR: i32 = 4;

/// A shorter pause is never one.
const SHORT_PAUSE: TimeDelta = TimeDelta::days(2);

/// How much a backup is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody could restore it: its verification failed, or it is not whole.
    Unusable,
    /// Whole as far as is known.
    Unverified,
    /// Restored and compared, and unchanged since.
    Verified,
}

/// A backup as retention sees it. The time is that of its name: a copy has another modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// When it was made.
    pub time: DateTime<Utc>,
    /// How much it is worth.
    pub standing: Standing,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Every backup is kept that long.
    pub keep_for: TimeDelta,
    /// So many are kept however old they are; 0 counts as 1.
    pub min_count: usize,
    /// The last backup of each of the last so many days that have one.
    pub daily: usize,
    /// The same for ISO weeks.
    pub weekly: usize,
    /// The same for months.
    pub monthly: usize,
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is younger than the retention time.
    Recent,
    /// It belongs to the smallest number that is kept, of the verified ones or of all usable ones.
    Minimum,
    /// The last of its day.
    Daily,
    /// The last of its week.
    Weekly,
    /// The last of its month.
    Monthly,
    /// Nothing usable would be left.
    OnlyOne,
}

/// The clock cannot be believed, so nothing is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockJump {
    /// A backup is from the future.
    #[error("a backup is from the future ({0}): the clock went back, or it was ahead then; nothing is deleted")]
    Back(DateTime<Utc>),
    /// There is a long pause before the newest backups.
    #[error(
        "there is nothing between {from} and {to}: the clock jumped, or no backups were made; nothing is deleted \
         until there are as many backups after that pause as are kept at least"
    )]
    Ahead {
        /// The last backup before it.
        from: DateTime<Utc>,
        /// The first backup after it, or now.
        to: DateTime<Utc>,
    },
}

/// Decides for each of `backups`, in their order, why it stays; none: it may be deleted.
///
/// Old is what is older than [`Rules::keep_for`]. Of the old, these stay: the newest [`Rules::min_count`] verified
/// ones (so the newest verified one always), the same number of the newest usable ones, and the last of each of the
/// days, weeks and months that are kept, a verified one where there is any. An unusable backup goes only when a
/// usable one stays.
///
/// # Errors
/// [`ClockJump`] when ages mean nothing: a backup is more than ten minutes in the future, or there is a pause before
/// the newest backups that is longer than two days, than [`Rules::keep_for`], and than four times the usual (median)
/// pause.
pub fn decide(backups: &[Candidate], rules: &Rules, now: DateTime<Utc>) -> Result<Vec<Option<Reason>>, ClockJump> {
    let mut newest_first: Vec<usize> = (0..backups.len()).collect();
    newest_first.sort_by_key(|&index| (std::cmp::Reverse(backups[index].time), index));
    if let Some(newest) = newest_first.first().map(|&index| backups[index].time)
        && newest > now + CLOCK_TOLERANCE
    {
        return Err(ClockJump::Back(newest));
    }
    let at_least = |standing| {
        newest_first.iter().copied().filter(move |&index| backups[index].standing >= standing).collect::<Vec<_>>()
    };
    let (usable, verified) = (at_least(Standing::Unverified), at_least(Standing::Verified));
    let min_count = rules.min_count.max(1);
    // Those that failed, too: what tells is when anything was tried.
    let times: Vec<_> = newest_first.iter().map(|&index| backups[index].time).collect();
    find_jump(&times, min_count, rules.keep_for, now)?;

    let mut decisions = vec![None; backups.len()];
    let mut keep = |index: usize, reason| {
        decisions[index].get_or_insert(reason);
    };
    for &index in &newest_first {
        if now - backups[index].time <= rules.keep_for {
            keep(index, Reason::Recent);
        }
    }
    for &index in verified.iter().take(min_count).chain(usable.iter().take(min_count)) {
        keep(index, Reason::Minimum);
    }
    let day = |time: DateTime<Utc>| time.num_days_from_ce();
    let week = |time: DateTime<Utc>| time.iso_week().year() * 100 + time.iso_week().week().cast_signed();
    let month = |time: DateTime<Utc>| time.year() * 100 + time.month().cast_signed();
    keep_last_of_each(backups, &usable, rules.daily, day, |index| keep(index, Reason::Daily));
    keep_last_of_each(backups, &usable, rules.weekly, week, |index| keep(index, Reason::Weekly));
    keep_last_of_each(backups, &usable, rules.monthly, month, |index| keep(index, Reason::Monthly));
    if usable.is_empty() {
        for &index in &newest_first {
            keep(index, Reason::OnlyOne);
        }
    }
    Ok(decisions)
}

/// Looks for an unbelievable pause before the newest `min_count` of `times`, newest first, or before now.
fn find_jump(
    times: &[DateTime<Utc>],
    min_count: usize,
    keep_for: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), ClockJump> {
    let mut pauses: Vec<_> = times.windows(2).map(|pair| pair[0] - pair[1]).collect();
    pauses.sort_unstable();
    // One pause alone is not usual.
    let usual = if pauses.len() < 2 { TimeDelta::zero() } else { pauses[(pauses.len() - 1) / 2] };
    let limit = keep_for.max(usual * JUMP_FACTOR).max(SHORT_PAUSE);
    let later = std::iter::once(now).chain(times.iter().copied());
    for (to, from) in later.zip(times.iter().copied()).take(min_count) {
        if to - from > limit {
            return Err(ClockJump::Ahead { from, to });
        }
    }
    Ok(())
}

/// Keeps one backup of each of the newest `count` periods that have any: the newest verified one, or else the newest.
fn keep_last_of_each(
    backups: &[Candidate],
    usable_newest_first: &[usize],
    count: usize,
    period: impl Fn(DateTime<Utc>) -> i32,
    mut keep: impl FnMut(usize),
) {
    let periods: BTreeSet<i32> = usable_newest_first.iter().map(|&index| period(backups[index].time)).collect();
    for wanted in periods.into_iter().rev().take(count) {
        let in_it = || usable_newest_first.iter().copied().filter(|&index| period(backups[index].time) == wanted);
        let best = in_it().find(|&index| backups[index].standing == Standing::Verified).or_else(|| in_it().next());
        best.into_iter().for_each(&mut keep);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    fn now() -> DateTime<Utc> {
        "2026-11-23T02:00:00Z".parse().unwrap()
    }

    fn backup(age_seconds: i64, standing: Standing) -> Candidate {
        Candidate { time: now() - TimeDelta::seconds(age_seconds), standing }
    }

    fn rules(days: i64, min_count: usize) -> Rules {
        Rules { keep_for: TimeDelta::days(days), min_count, daily: 0, weekly: 0, monthly: 0 }
    }

    /// The ages in days of what is kept, of one verified backup a day.
    fn kept_of_daily(days: i64, rules: &Rules) -> Vec<i64> {
        let backups: Vec<_> = (0..days).map(|age| backup(age * DAY, Standing::Verified)).collect();
        let decisions = decide(&backups, rules, now()).unwrap();
        (0..days).zip(decisions).filter(|(_, decision)| decision.is_some()).map(|(age, _)| age).collect()
    }

    #[test]
    fn what_is_older_than_the_days_goes_and_a_minimum_stays() {
        assert_eq!(kept_of_daily(20, &rules(7, 3)), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(kept_of_daily(20, &rules(0, 3)), [0, 1, 2]);
        assert_eq!(kept_of_daily(20, &rules(0, 0)), [0]);
    }

    #[test]
    fn the_last_of_each_day_week_and_month_stays() {
        // 2026-11-23 is a Monday.
        let rules = Rules { daily: 3, weekly: 3, monthly: 3, ..rules(0, 1) };
        let of_the_week = [1, 8];
        let of_the_month = [23, 54];
        let expected: Vec<i64> = [0, 1, 2].into_iter().chain(of_the_week).chain(of_the_month).collect();
        let expected: BTreeSet<i64> = expected.into_iter().collect();
        assert_eq!(kept_of_daily(120, &rules), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_failed_backup_protects_nothing_and_goes_only_when_something_better_stays() {
        use Standing::{Unusable, Unverified, Verified};
        let old = |standing| backup(9 * DAY, standing);
        let decide = |backups: &[Candidate]| decide(backups, &rules(7, 1), now()).unwrap();
        assert_eq!(decide(&[backup(0, Unusable), old(Unusable)]), [Some(Reason::Recent), Some(Reason::OnlyOne)]);
        assert_eq!(decide(&[backup(DAY, Verified), backup(0, Unusable), old(Unusable)])[2], None);
        assert_eq!(decide(&[backup(DAY, Unverified), old(Verified)])[1], Some(Reason::Minimum));
    }

    #[test]
    fn a_jump_of_the_clock_deletes_nothing() {
        let daily = |shift: i64| -> Vec<_> {
            let mut backups: Vec<_> = (0..20).map(|age| backup(shift + age * DAY, Standing::Verified)).collect();
            backups.push(backup(0, Standing::Verified));
            backups
        };
        assert!(decide(&daily(DAY), &rules(7, 3), now()).is_ok());
        assert!(matches!(decide(&daily(365 * DAY), &rules(7, 3), now()), Err(ClockJump::Ahead { .. })));
        let without_the_new: Vec<_> = daily(365 * DAY).into_iter().take(20).collect();
        assert!(matches!(decide(&without_the_new, &rules(7, 3), now()), Err(ClockJump::Ahead { .. })));
        assert!(matches!(decide(&daily(-DAY), &rules(7, 3), now()), Err(ClockJump::Back(_))));
        // Two machines' clocks.
        assert!(decide(&daily(-60), &rules(7, 3), now()).is_ok());
    }

    #[test]
    fn a_pause_that_is_usual_is_no_jump() {
        let monthly: Vec<_> = (0..12).map(|age| backup(age * 30 * DAY, Standing::Verified)).collect();
        let decisions = decide(&monthly, &rules(7, 3), now()).unwrap();
        assert_eq!(decisions.iter().filter(|decision| decision.is_none()).count(), 9);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let standing = prop_oneof![Just(Standing::Verified), Just(Standing::Unverified), Just(Standing::Unusable)];
        // Mostly a schedule, sometimes anything.
        let ages = prop_oneof![(0..60_i64).prop_map(|days| days * DAY), -HOUR..400 * DAY];
        prop::collection::vec((ages, standing).prop_map(|(age, standing)| backup(age, standing)), 0..40)
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        (0..40_i64, 0..8_usize, 0..8_usize, 0..5_usize, 0..5_usize).prop_map(
            |(days, min_count, daily, weekly, monthly)| Rules { daily, weekly, monthly, ..rules(days, min_count) },
        )
    }

    fn kept(backups: &[Candidate], decisions: &[Option<Reason>]) -> Vec<Candidate> {
        let pairs = backups.iter().zip(decisions);
        pairs.filter(|(_, decision)| decision.is_some()).map(|(backup, _)| *backup).collect()
    }

    fn newest_times(backups: &[Candidate], standing: Standing, count: usize) -> Vec<DateTime<Utc>> {
        let good = backups.iter().filter(|backup| backup.standing >= standing);
        let mut times: Vec<_> = good.map(|backup| backup.time).collect();
        times.sort_unstable();
        times.into_iter().rev().take(count).collect()
    }

    proptest! {
        #[test]
        fn whatever_there_is_the_promises_hold(backups in candidates(), rules in any_rules()) {
            let Ok(decisions) = decide(&backups, &rules, now()) else {
                return Ok(());
            };
            let kept = kept(&backups, &decisions);
            let min_count = rules.min_count.max(1);
            // Never fewer than the minimum, of the verified and of all; so never the newest verified one either.
            for standing in [Standing::Verified, Standing::Unverified] {
                prop_assert_eq!(
                    newest_times(&kept, standing, min_count),
                    newest_times(&backups, standing, min_count)
                );
            }
            // Nothing young goes, and nothing at all unless something newer or better stays.
            for (backup, _) in backups.iter().zip(&decisions).filter(|(_, decision)| decision.is_none()) {
                prop_assert!(now() - backup.time > rules.keep_for);
                prop_assert!(kept.iter().any(|other| other.standing >= Standing::Unverified
                    && (other.time >= backup.time || backup.standing == Standing::Unusable)));
            }
            prop_assert!(backups.is_empty() || !kept.is_empty());
        }

        #[test]
        fn deciding_again_deletes_nothing_more(backups in candidates(), rules in any_rules()) {
            if let Ok(decisions) = decide(&backups, &rules, now()) {
                let kept = kept(&backups, &decisions);
                if let Ok(again) = decide(&kept, &rules, now()) {
                    prop_assert!(again.iter().all(Option::is_some));
                }
            }
        }

        #[test]
        fn the_order_does_not_matter(backups in candidates(), rules in any_rules()) {
            let mut backups = backups;
            backups.sort_by_key(|backup| backup.time);
            backups.dedup_by_key(|backup| backup.time);
            let mut reversed = backups.clone();
            reversed.reverse();
            let forwards = decide(&backups, &rules, now());
            let backwards = decide(&reversed, &rules, now()).map(|mut decisions| {
                decisions.reverse();
                decisions
            });
            prop_assert_eq!(forwards, backwards);
        }

        #[test]
        fn a_backup_from_the_future_stops_everything(backups in candidates(), rules in any_rules(), ahead in 601..DAY) {
            let mut backups = backups;
            backups.push(backup(-ahead, Standing::Unusable));
            prop_assert!(matches!(decide(&backups, &rules, now()), Err(ClockJump::Back(_))));
        }
    }
}
