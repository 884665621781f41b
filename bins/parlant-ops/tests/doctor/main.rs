//! The doctor and a live system in which one thing at a time is made wrong: it names that one and no other.
//! `e2e/doctor/run` says which programs.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]
#![expect(clippy::print_stdout, reason = "the table is what the suite is for")]

mod faults;
mod stand_in;
mod world;

use std::fs;
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use faults::{FAULTS, inject, settings};
use world::World;

/// The longest that the doctor may take, in seconds; it promises 25.
const LONGEST: f64 = 25.0;

/// What a look has found: ids, the exit code, and how long it took.
struct Seen {
    ids: Vec<String>,
    exit: Option<i32>,
    seconds: f64,
    text: String,
}

/// Looks twice, for machines and for people, and holds the two against each other and against the secrets.
async fn look(world: &World) -> Seen {
    let (json, text) = tokio::join!(world.doctor(&["--json"]), world.doctor(&[]));
    let told = [&json.stdout, &json.stderr, &text.stdout, &text.stderr].map(|part| String::from_utf8_lossy(part));
    for secret in &world.secrets {
        assert!(!told.iter().any(|part| part.contains(secret.as_str())), "{secret}: {told:?}");
    }
    let diagnosis: Value = serde_json::from_slice(&json.stdout).unwrap_or_else(|_| panic!("{told:?}"));
    let findings = diagnosis["findings"].as_array().unwrap();
    let ids: Vec<_> = findings.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect();
    for finding in findings {
        assert!(told[2].contains(finding["id"].as_str().unwrap()), "{told:?}");
        for part in ["summary", "cause", "mend", "runbook"] {
            assert!(!finding[part].as_str().unwrap().is_empty(), "{part} of {finding}");
        }
    }
    Seen { ids, exit: json.status.code(), seconds: diagnosis["seconds"].as_f64().unwrap(), text: told[2].to_string() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_a_system_that_is_well() {
    let mut world = World::new(&[]).await;
    let sim = world.database.sim().await;
    let ada = sim.user("Ada").await;
    let (token, workspace) = (sim.session(&ada).await, sim.workspace(&ada).await);
    world.environment.insert("PARLANT_TOKEN", token.clone());
    world.secrets.push(token);
    world.arguments.extend(["--workspace".to_owned(), workspace]);
    let seen = look(&world).await;
    assert_eq!((seen.ids.as_slice(), seen.exit), ([].as_slice(), Some(0)), "{}", seen.text);
    println!("nothing wrong: {:.1} s\n{}", seen.seconds, seen.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_named_and_nothing_else() {
    let only = std::env::args().find(|argument| FAULTS.iter().any(|(fault, ..)| fault == argument));
    let faults = FAULTS.iter().filter(|(fault, ..)| only.as_ref().is_none_or(|only| only == fault));
    let looks = stream::iter(faults).map(|&(fault, id, exit)| async move {
        let mut world = World::new(settings(fault)).await;
        inject(&mut world, fault).await;
        let seen = look(&world).await;
        println!("| {fault} | {} | {} | {:.1} s", seen.ids.join(", "), seen.exit.unwrap_or(-1), seen.seconds);
        let right = seen.ids == [id] && seen.exit == Some(exit) && seen.seconds < LONGEST;
        (fault, seen, right)
    });
    let looks: Vec<_> = looks.buffer_unordered(3).collect().await;
    let longest = looks.iter().map(|(_, seen, _)| seen.seconds).fold(0.0, f64::max);
    println!("{} faults, the longest look took {longest:.1} s", looks.len());
    let wrong = looks.iter().filter(|(.., right)| !right);
    let wrong: Vec<_> = wrong.map(|(fault, seen, _)| format!("{fault}: exit {:?}\n{}", seen.exit, seen.text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_has_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/doctor.md");
    let page = fs::read_to_string(page).unwrap();
    let lines = FAULTS.iter().map(|(fault, id, exit)| format!("| {fault} | `{id}` | {exit} |\n"));
    let table: String = lines.collect();
    println!("{table}");
    assert!(page.contains(&format!("| fault | found | exit code |\n| --- | --- | --- |\n{table}")), "{table}");
}
