use std::path::PathBuf;

use parlant_settings::{Secret, Settings, Variable};

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
    pub retention: crate::Rules,
    /// Whom archives are encrypted to; nobody: they are not.
    pub recipients: Vec<String>,
    /// What they are decrypted with.
    pub identity: Option<PathBuf>,
    /// The server for trial restores; none: a private one.
    pub verify_url: Option<Secret>,
    /// The file for the node-exporter.
    pub metrics_file: Option<PathBuf>,
    /// The second place.
    pub s3: Option<S3>,
    /// Where PostgreSQL's programs are; none: they are looked for.
    pub bin_dir: Option<PathBuf>,
}

/// A bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// The beginning of the keys, without slashes at its ends.
    pub prefix: String,
    /// The service, when it is not Amazon's.
    pub endpoint: Option<String>,
    /// `x-amz-server-side-encryption`.
    pub server_side_encryption: Option<String>,
    /// `x-amz-storage-class`.
    pub storage_class: Option<String>,
    /// The region.
    pub region: String,
    /// The access key; none: the instance's or service account's role.
    pub access_key_id: Option<String>,
    /// Its secret.
    pub secret_access_key: Option<Secret>,
    /// The token of a temporary key.
    pub session_token: Option<Secret>,
}

impl Config {
    /// Backups in `dir` alone, with the defaults of [`VARIABLES`].
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            retention: crate::Rules {
                keep_for: chrono::TimeDelta::days(7),
                min_count: 3,
                daily: 0,
                weekly: 0,
                monthly: 0,
            },
            recipients: Vec::new(),
            identity: None,
            verify_url: None,
            metrics_file: None,
            s3: None,
            bin_dir: None,
        }
    }

    /// Reads [`VARIABLES`]. What cannot be used is recorded as a problem of its variable.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let mut config = Self::new(settings.value::<PathBuf>(&BACKUP_DIR));
        let days: u32 = settings.value(&RETENTION_DAYS);
        config.retention = crate::Rules {
            keep_for: chrono::TimeDelta::days(days.into()),
            min_count: settings.value(&RETENTION_MIN_COUNT),
            daily: settings.value(&RETENTION_DAILY),
            weekly: settings.value(&RETENTION_WEEKLY),
            monthly: settings.value(&RETENTION_MONTHLY),
        };
        let recipients: Option<String> = settings.optional(&BACKUP_AGE_RECIPIENT);
        config.recipients = recipients.iter().flat_map(|all| all.split(',')).map(|one| one.trim().to_owned()).collect();
        if config.recipients.iter().any(|one| !(one.starts_with("age1") || one.starts_with("ssh-"))) {
            settings.problem(&BACKUP_AGE_RECIPIENT, "must be recipients that begin with `age1` or `ssh-`");
        }
        config.identity = settings.optional(&BACKUP_AGE_IDENTITY);
        config.verify_url = settings.secret(&BACKUP_VERIFY_URL);
        config.metrics_file = settings.optional(&BACKUP_METRICS_FILE);
        if config.metrics_file.as_ref().is_some_and(|file| file.extension().is_none_or(|ending| ending != "prom")) {
            settings.problem(&BACKUP_METRICS_FILE, "must end in .prom, or the node-exporter passes it over");
        }
        config.bin_dir = settings.optional(&PG_BIN_DIR);
        config.s3 = S3::from_settings(settings);
        config
    }
}

impl S3 {
    fn from_settings(settings: &mut Settings) -> Option<Self> {
        let bucket = settings.optional(&S3_BUCKET)?;
        let prefix: String = settings.value(&S3_PREFIX);
        let s3 = Self {
            bucket,
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: settings.optional(&S3_ENDPOINT),
            server_side_encryption: settings.optional(&S3_SERVER_SIDE_ENCRYPTION),
            storage_class: settings.optional(&S3_STORAGE_CLASS),
            region: settings.value(&AWS_REGION),
            access_key_id: settings.optional(&AWS_ACCESS_KEY_ID),
            secret_access_key: settings.secret(&AWS_SECRET_ACCESS_KEY),
            session_token: settings.secret(&AWS_SESSION_TOKEN),
        };
        if s3.access_key_id.is_some() != s3.secret_access_key.is_some() {
            settings.problem(&AWS_SECRET_ACCESS_KEY, "and AWS_ACCESS_KEY_ID go together");
        }
        if let Some(method) = &s3.server_side_encryption
            && !["AES256", "aws:kms", "aws:kms:dsse"].contains(&method.as_str())
        {
            settings.problem(&S3_SERVER_SIDE_ENCRYPTION, "must be AES256, aws:kms or aws:kms:dsse");
        }
        Some(s3)
    }
}
