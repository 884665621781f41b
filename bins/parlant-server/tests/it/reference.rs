//! The pages that list every variable are what the code declares. A page that is not is written anew, and the test
//! fails once, so that the change is seen and committed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use parlant_server::{Group, VARIABLES};

/// What the server reads, and what the other programs read beside it.
fn groups() -> impl Iterator<Item = Group> {
    let migrate = Group { title: "Migrating (`parlant-migrate` only)", variables: parlant_migrate::VARIABLES };
    let backups = Group { title: "Backups (`parlant-backup` only)", variables: parlant_backup_core::VARIABLES };
    let load_test = Group {
        title: "Load test and diagnosis (`parlant-ops` only)",
        variables: parlant_ops_core::load_test::VARIABLES,
    };
    VARIABLES.iter().copied().chain([migrate, backups, load_test])
}

fn hold(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if fs::read_to_string(&path).is_ok_and(|text| text == expected) {
        return;
    }
    fs::write(&path, expected).unwrap();
    panic!("{} was not what the code declares; it is now: commit it", path.display());
}

#[test]
fn the_environment_page_lists_what_the_code_reads() {
    let mut page = String::from(
        "# Environment\n\n\
        The server reads the process environment, then `.env` in the working directory for names that are not set there. \
        An empty value counts as unset. A variable marked *secret* may also be given as `NAME_FILE`, the path of a file with the value. \
        Every problem is reported at once, by `parlant-server check-config` as well, and the exit code is then 78. \
        A duration is a number of seconds, or has a unit: `500ms`, `5s`, `1m`, `4h`, `7d`.\n\n\
        `parlant-migrate` reads the sections Database, Logs and Migrating, `parlant-backup` Database, Logs, Alerts, Backups and `PG_BIN_DIR`, `parlant-ops load-test` Load test; `dev` reads Development.\n",
    );
    for group in groups() {
        write!(page, "\n## {}\n\n| variable | default | meaning |\n| --- | --- | --- |\n", group.title).unwrap();
        for variable in group.variables {
            let names = [&[variable.name], variable.aliases].concat().join("` or `");
            let default = variable.default.map_or("–".to_owned(), |default| format!("`{default}`"));
            let secret = if variable.secret { " *secret*" } else { "" };
            writeln!(page, "| `{names}`{secret} | {default} | {} |", variable.summary).unwrap();
        }
    }
    hold("docs/reference/environment.md", &page);
}

#[test]
fn the_example_lists_what_the_code_reads() {
    let mut example = String::from(
        "# Copy to .env and set what differs; docs/reference/environment.md explains.\n\
        # A secret may also come from a file: NAME_FILE=/run/secrets/name\n",
    );
    for group in groups() {
        write!(example, "\n## {}\n", group.title).unwrap();
        for variable in group.variables {
            writeln!(example, "\n# {}\n#{}={}", variable.summary, variable.name, variable.default.unwrap_or_default())
                .unwrap();
        }
    }
    hold(".env.example", &example);
}

#[test]
fn no_variable_is_declared_twice() {
    let mut names: Vec<_> = groups()
        .flat_map(|group| group.variables)
        .flat_map(|variable| [variable.name].into_iter().chain(variable.aliases.iter().copied()))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
