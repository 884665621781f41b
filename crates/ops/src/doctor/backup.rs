//! The backups in `BACKUP_DIR`.

use chrono::{TimeDelta, Utc};
use parlant_backup_core::{Listed, State, Store, list};

use crate::doctor::Config;
use crate::doctor::kinds::{BACKUP_DAMAGED, BACKUP_NONE, BACKUP_TOO_OLD, BACKUP_UNREADABLE, BACKUP_UNVERIFIED};
use crate::doctor::sheet::Sheet;
use crate::doctor::shell::quoted;

/// As the alerts have it: a day, and time for the backup itself.
const AGE: TimeDelta = TimeDelta::hours(26);

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let dir = &config.backup.dir;
    if !config.backup_dir_given && !dir.exists() {
        sheet.skip("backup", format!("there is no {}: name the directory in BACKUP_DIR", dir.display()));
        return sheet;
    }
    let backups = match list(&Store::Dir(dir.clone())).await {
        Ok(backups) => backups,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => {
            let finding = BACKUP_UNREADABLE.warning("The backups cannot be looked at").evidence(error.to_string());
            sheet.find(finding.mend(format!("ls -la {}", quoted(&dir.display().to_string()))));
            return sheet;
        }
    };
    judge(&mut sheet, &backups);
    sheet
}

/// The newest first.
fn judge(sheet: &mut Sheet, backups: &[Listed]) {
    let run = "systemctl start parlant-backup || parlant-backup run   # DATABASE_URL of parlant_backup";
    let now = Utc::now();
    let age = |listed: &Listed| now - listed.created_at;
    let told = |listed: &Listed| format!("{} was made {} hours ago", listed.name, age(listed).num_hours());
    let whole: Vec<_> = backups.iter().filter(|listed| listed.manifest.is_some()).collect();
    let Some(newest) = whole.first() else {
        sheet.find(BACKUP_NONE.broken("There is no backup").mend(run));
        return;
    };
    if let State::Damaged { reason } | State::Incomplete { reason } = &newest.state {
        let finding = BACKUP_DAMAGED.broken("The newest backup cannot be restored");
        sheet.find(finding.evidence(format!("{}: {reason}", newest.name)).mend(run));
    } else if age(newest) > AGE {
        sheet.find(BACKUP_TOO_OLD.broken("The newest backup is too old").evidence(told(newest)).mend(run));
    }
    let verified = whole.iter().find(|listed| matches!(listed.state, State::Verified { .. }));
    if verified.is_none_or(|listed| age(listed) > AGE) {
        let finding = BACKUP_UNVERIFIED.warning("No backup of the last day was restored on trial");
        let evidence =
            verified.map_or_else(|| "no backup was ever verified".to_owned(), |listed| told(listed) + " and verified");
        sheet.find(finding.evidence(evidence).mend("parlant-backup verify newest"));
    }
}
