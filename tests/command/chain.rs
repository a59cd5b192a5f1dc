//! `spacetime chain`.

use serde_json::Value;

use crate::{generate, run, stderr, stdout};

#[test]
fn the_same_seed_makes_the_same_chain_which_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (path("a"), path("b"));
    assert_eq!(generate(&first, "300", "2000"), generate(&second, "300", "2000"));

    let output = run(&["chain", "info", "--json", "--datadir", &first]);
    let info: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&info["height"], &info["network"]), (&300.into(), &"dev".into()));
    let tip = format!("tip 300 {}\n", info["hash"].as_str().unwrap());
    assert_eq!(generate(&path("c"), "300", "2000"), tip);

    let output = run(&["chain", "verify", "--datadir", &first]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), format!("verified 301 blocks, {tip}"));
}

#[test]
fn a_chain_that_is_there_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let datadir = folder.path().to_str().unwrap();
    generate(datadir, "3", "415");
    let output = run(&["chain", "generate", "--blocks", "5", "--datadir", datadir]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("3 blocks already"), "{}", stderr(&output));
}

#[test]
fn a_chain_of_a_broken_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chain.redb"), "this is no chain").unwrap();
    let output = run(&["chain", "verify", "--datadir", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("chain store"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    for arguments in [
        &["chain", "generate", "--blocks", "x"][..],
        &["chain", "generate", "--blocks", "1", "--block-bytes", "414"],
        &["chain", "generate", "--blocks", "1", "--block-bytes", "16777216"],
        &["chain"],
        &["no-such-command"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
