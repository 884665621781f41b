//! Clocks that disagree.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::doctor::Kind;
use crate::doctor::kinds::{CLOCK_DATABASE, CLOCK_HERE, CLOCK_SIM};
use crate::doctor::sheet::Sheet;

/// More than a slow answer and a rounded second can explain.
const SKEW: f64 = 5.0;
const MEND: &str = "chronyc tracking || timedatectl   # on both machines";

/// Compares another machine's clock with ours: what it said just now, in an answer that took so long.
pub(crate) fn compare(sheet: &mut Sheet, kind: &Kind, whose: &str, theirs: DateTime<Utc>, took: Duration) {
    let off = (theirs - Utc::now()).as_seconds_f64() + took.as_secs_f64() / 2.0;
    if off.abs() - took.as_secs_f64() / 2.0 > SKEW {
        let direction = if off > 0.0 { "ahead of" } else { "behind" };
        let finding = kind.warning(format!("{whose} clock disagrees with this machine's"));
        let finding = finding.evidence(format!("{whose} is {:.0} s {direction} this machine's", off.abs()));
        sheet.find(finding.mend(MEND));
    }
}

/// With everybody, it is this machine's that is wrong.
pub(crate) fn conclude(sheet: &mut Sheet) {
    let off: Vec<_> = sheet.findings.iter().filter(|one| [CLOCK_DATABASE.id, CLOCK_SIM.id].contains(&one.id)).collect();
    if off.len() == 2 {
        let evidence: Vec<_> = off.iter().flat_map(|finding| finding.evidence.clone()).collect();
        sheet.find(CLOCK_HERE.warning("This machine's clock is wrong").evidences(evidence).mend(MEND));
    }
}
