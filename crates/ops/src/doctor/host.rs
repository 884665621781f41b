//! The machine.

use std::path::PathBuf;

use parlant_health::{Check as _, DiskSpace, Status};

use crate::doctor::kinds::{HOST_DISK, HOST_MEMORY};
use crate::doctor::sheet::Sheet;
use crate::doctor::{Config, Severity};

/// Less than that of the memory is left, in percent.
const LITTLE: f32 = 10.0;

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    disk(config, &mut sheet).await;
    if let Ok(memory) = psutil::memory::virtual_memory()
        && 100.0 - memory.percent() < LITTLE
    {
        let mebibytes = |bytes: u64| bytes / (1024 * 1024);
        let (available, total) = (mebibytes(memory.available()), mebibytes(memory.total()));
        let finding = HOST_MEMORY.warning("This machine has hardly any memory left");
        let finding = finding.evidence(format!("{available} MiB of {total} MiB are available"));
        sheet.find(finding.mend("ps -eo pid,rss,comm --sort=-rss | head"));
    }
    sheet
}

/// As the server's own check looks, at the same places.
async fn disk(config: &Config, sheet: &mut Sheet) {
    let places = config.log_file.iter().chain([&config.backup.dir]).map(PathBuf::clone);
    let outcome = DiskSpace::new(places).run().await;
    let severity = match outcome.status {
        Status::Healthy => return,
        Status::Degraded => Severity::Warning,
        Status::Unhealthy => Severity::Broken,
    };
    let systems = outcome.details["file_systems"].as_array().into_iter().flatten();
    let full = |system: &&serde_json::Value| {
        let percent = |name: &str| system[name].as_f64().unwrap_or_default();
        percent("percent").max(percent("inodes_percent")) > 85.0
    };
    let told = systems.filter(full).map(|system| {
        let at = system["mountpoint"].as_str().unwrap_or_default();
        let inodes =
            system["inodes_percent"].as_f64().map_or_else(String::new, |used| format!(", of its files {used} %"));
        format!("{at}: {} % used{inodes}, {} MiB free", system["percent"], system["free_mb"])
    });
    let finding = HOST_DISK.found(severity, "A file system is nearly full".to_owned());
    sheet.find(finding.evidences(told).mend("df -h; df -i; du -xh / --max-depth=3 2>/dev/null | sort -h | tail"));
}
