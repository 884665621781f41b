use std::path::PathBuf;

use parlant_settings::{ExposeSecret as _, Secret, Settings, Variable};

use crate::{Bucket, Rules};

/// Where backups are.
const BACKUP_DIR: Variable =
    Variable::new("BACKUP_DIR", "Directory of the backups; made, for its owner alone, when it is not there")
        .default("/opt/parlant/backups");
/// Whom archives are encrypted to.
const BACKUP_AGE_RECIPIENT: Variable = Variable::new(
    "BACKUP_AGE_RECIPIENT",
    "age recipients (`age1…` or an SSH public key), comma-separated, that archives are encrypted to; needs the program `age`",
);
/// What decrypts them.
const BACKUP_AGE_IDENTITY: Variable =
    Variable::new("BACKUP_AGE_IDENTITY", "Path of the age identity file that verify and restore decrypt with");
/// Where trial restores go.
const BACKUP_VERIFY_URL: Variable = Variable::new(
    "BACKUP_VERIFY_URL",
    "Another server for trial restores, with a role that may create databases; unset = a private cluster of installed binaries",
)
.secret();
/// Where the numbers go.
const BACKUP_METRICS_FILE: Variable = Variable::new(
    "BACKUP_METRICS_FILE",
    "File for the node-exporter's textfile collector, ending in .prom, such as /var/lib/prometheus/node-exporter/parlant_backup.prom",
);
/// How long backups are kept.
const RETENTION_DAYS: Variable = Variable::new("RETENTION_DAYS", "Days that every backup is kept").default("7");
/// How many are kept at least.
const RETENTION_MIN_COUNT: Variable =
    Variable::new("RETENTION_MIN_COUNT", "Backups that are kept however old they are").default("3");
/// How many days keep their last.
const RETENTION_DAILY: Variable =
    Variable::new("RETENTION_DAILY", "Days whose last backup is kept as well").default("0");
/// How many weeks keep their last.
const RETENTION_WEEKLY: Variable =
    Variable::new("RETENTION_WEEKLY", "Weeks whose last backup is kept as well").default("0");
/// How many months keep their last.
const RETENTION_MONTHLY: Variable =
    Variable::new("RETENTION_MONTHLY", "Months whose last backup is kept as well").default("0");
/// The second place.
const S3_BUCKET: Variable = Variable::new("S3_BUCKET", "Bucket that backups are also stored in; unset = none");
/// The beginning of the keys.
const S3_PREFIX: Variable = Variable::new("S3_PREFIX", "Beginning of the keys in the bucket").default("parlant");
/// Another S3 than Amazon's.
const S3_ENDPOINT: Variable =
    Variable::new("S3_ENDPOINT", "URL of an S3-compatible service; unset = Amazon's of AWS_REGION");
/// Encryption at rest.
const S3_SERVER_SIDE_ENCRYPTION: Variable = Variable::new(
    "S3_SERVER_SIDE_ENCRYPTION",
    "AES256, aws:kms or aws:kms:dsse; unset = as the bucket does by default",
);
/// The class.
const S3_STORAGE_CLASS: Variable =
    Variable::new("S3_STORAGE_CLASS", "Storage class, such as STANDARD_IA; unset = the bucket's");
/// The region.
const AWS_REGION: Variable = Variable::new("AWS_REGION", "Region of the bucket").default("us-east-1");
/// The key's name.
const AWS_ACCESS_KEY_ID: Variable =
    Variable::new("AWS_ACCESS_KEY_ID", "Access key; unset = the role of the instance or of the service account");
/// The key.
const AWS_SECRET_ACCESS_KEY: Variable = Variable::new("AWS_SECRET_ACCESS_KEY", "Secret of the access key").secret();
/// The token of a temporary key.
const AWS_SESSION_TOKEN: Variable =
    Variable::new("AWS_SESSION_TOKEN", "Session token of a temporary access key").secret();

/// Where PostgreSQL's programs are; described with the server's development settings.
const PG_BIN_DIR: Variable = Variable::new("PG_BIN_DIR", "");

/// Every variable that [`Config::from_settings`] reads.
pub const VARIABLES: &[Variable] = &[
    BACKUP_DIR,
    RETENTION_DAYS,
    RETENTION_MIN_COUNT,
    RETENTION_DAILY,
    RETENTION_WEEKLY,
    RETENTION_MONTHLY,
    BACKUP_AGE_RECIPIENT,
    BACKUP_AGE_IDENTITY,
    BACKUP_VERIFY_URL,
    BACKUP_METRICS_FILE,
    S3_BUCKET,
    S3_PREFIX,
    S3_ENDPOINT,
    S3_SERVER_SIDE_ENCRYPTION,
    S3_STORAGE_CLASS,
    AWS_REGION,
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN,
];

/// Where backups go and how long they stay. The database is none of it: `list` and `prune` need none.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of the backups.
    pub dir: PathBuf,
    /// What is kept.
    pub retention: Rules,
    /// Whom archives are encrypted to; nobody: they are not.
    pub recipients: Vec<String>,
    /// What they are decrypted with.
    pub identity: Option<PathBuf>,
    /// The server for trial restores; none: a private one.
    pub verify_url: Option<Secret>,
    /// The file for the node-exporter.
    pub metrics_file: Option<PathBuf>,
    /// The second place.
    pub bucket: Option<Bucket>,
    /// Where PostgreSQL's programs are; none: they are looked for.
    pub bin_dir: Option<PathBuf>,
    /// What manifests and evidence call the version of this program.
    pub program_version: String,
}

impl Config {
    /// Backups in `dir` alone, with the defaults of [`VARIABLES`].
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let mut settings = Settings::from_pairs::<&str, &str>([]);
        Self { dir: dir.into(), ..Self::from_settings(&mut settings) }
    }

    /// Reads [`VARIABLES`]. What cannot be used is recorded as a problem of its variable.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let recipients: Option<String> = settings.optional(&BACKUP_AGE_RECIPIENT);
        let recipients: Vec<String> =
            recipients.iter().flat_map(|all| all.split(',')).map(|one| one.trim().to_owned()).collect();
        if recipients.iter().any(|one| !(one.starts_with("age1") || one.starts_with("ssh-"))) {
            settings.problem(&BACKUP_AGE_RECIPIENT, "must be recipients that begin with `age1` or `ssh-`");
        }
        let metrics_file: Option<PathBuf> = settings.optional(&BACKUP_METRICS_FILE);
        if metrics_file.as_ref().is_some_and(|file| file.extension().is_none_or(|ending| ending != "prom")) {
            settings.problem(&BACKUP_METRICS_FILE, "must end in .prom, or the node-exporter passes it over");
        }
        Self {
            dir: settings.value(&BACKUP_DIR),
            retention: Rules {
                keep_for: chrono::TimeDelta::days(settings.value::<u32>(&RETENTION_DAYS).into()),
                min_count: settings.value(&RETENTION_MIN_COUNT),
                daily: settings.value(&RETENTION_DAILY),
                weekly: settings.value(&RETENTION_WEEKLY),
                monthly: settings.value(&RETENTION_MONTHLY),
            },
            recipients,
            identity: settings.optional(&BACKUP_AGE_IDENTITY),
            verify_url: settings.secret(&BACKUP_VERIFY_URL),
            metrics_file,
            bucket: bucket(settings),
            bin_dir: settings.optional(&PG_BIN_DIR),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn bucket(settings: &mut Settings) -> Option<Bucket> {
    let name: String = settings.optional(&S3_BUCKET)?;
    let prefix: String = settings.value(&S3_PREFIX);
    let encryption: Option<String> = settings.optional(&S3_SERVER_SIDE_ENCRYPTION);
    if encryption.as_ref().is_some_and(|method| !["AES256", "aws:kms", "aws:kms:dsse"].contains(&method.as_str())) {
        settings.problem(&S3_SERVER_SIDE_ENCRYPTION, "must be AES256, aws:kms or aws:kms:dsse");
    }
    let key: Option<String> = settings.optional(&AWS_ACCESS_KEY_ID);
    let mut secret = |variable| settings.secret(variable).map(|secret| secret.expose_secret().to_owned());
    let (secret_key, token) = (secret(&AWS_SECRET_ACCESS_KEY), secret(&AWS_SESSION_TOKEN));
    if key.is_some() != secret_key.is_some() {
        settings.problem(&AWS_SECRET_ACCESS_KEY, "and AWS_ACCESS_KEY_ID go together");
    }
    let endpoint: Option<String> = settings.optional(&S3_ENDPOINT);
    let in_the_clear = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let options = [
        ("aws_endpoint", endpoint),
        ("aws_allow_http", Some(in_the_clear.to_string())),
        ("aws_region", settings.optional(&AWS_REGION)),
        ("aws_access_key_id", key),
        ("aws_secret_access_key", secret_key),
        ("aws_session_token", token),
        ("aws_server_side_encryption", encryption),
    ];
    let bucket = Bucket::new(&name, prefix.trim_matches('/'), settings.optional(&S3_STORAGE_CLASS), options);
    bucket.map_err(|reason| settings.problem(&S3_BUCKET, reason)).ok()
}
