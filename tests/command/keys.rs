//! `spacetime key`, `spacetime peer-id`, and sessions with those who are expected.

use std::os::unix::fs::PermissionsExt as _;

use crate::process::RunningNode;
use crate::{run, stderr, stdout};

#[test]
fn a_key_is_made_shown_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let datadir = folder.path().join("node");
    let command = |line: &str| {
        let words = line.split(' ').chain(["--datadir", datadir.to_str().unwrap()]);
        run(&words.collect::<Vec<_>>())
    };
    let missing = command("peer-id");
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("spacetime key new"), "{}", stderr(&missing));

    let made = command("key new");
    assert!(made.status.success(), "{}", stderr(&made));
    let peer_id = stdout(&made);
    assert_eq!(peer_id.trim().len(), 64);
    let file = datadir.join("node.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(stdout(&command("peer-id")), peer_id);
    let shown = stdout(&command("key show"));
    assert!(shown.contains(peer_id.trim()) && shown.contains(file.to_str().unwrap()), "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");

    let again = command("key new");
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("there is a key"), "{}", stderr(&again));
    let node = RunningNode::start(&datadir, &["--listen", "127.0.0.1:0"]);
    assert_eq!(node.introduction[1], format!("peer id {}", peer_id.trim()));
    assert_eq!(stdout(&command("peer-id")), peer_id, "also while it runs");
    assert_eq!(command("key new").status.code(), Some(75), "not while it runs");
    drop(node);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
    for line in ["peer-id", "key show", "start"] {
        let exposed = command(line);
        assert_eq!(exposed.status.code(), Some(1), "{line}");
        assert!(stderr(&exposed).contains("chmod 600"), "{line}: {}", stderr(&exposed));
    }
}

#[test]
fn nodes_prove_who_they_are_and_the_pinned_one_must_answer() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, arguments: &[&str]| {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        RunningNode::start(&folder.path().join(name), &arguments)
    };
    let far = start("far", &[]);
    let peer_id = far.introduction[1].strip_prefix("peer id ").unwrap().to_owned();
    let right = format!("{peer_id}@{}", far.address());
    let near = start("near", &["--peer", &right]);
    let status = near.wait_until("connected", |status| status["peers"][0].is_object());
    assert_eq!(
        (&status["peers"][0]["peer_id"], &status["peers"][0]["proven"]),
        (&peer_id.into(), &true.into())
    );
    assert_eq!(status["peers"][0]["address"], right.as_str());
    let wrong = format!("{}@{}", "ab".repeat(32), far.address());
    let stranger = start("stranger", &["--peer", &wrong]);
    // It goes on trying; a session there would be with somebody else.
    let third = start("third", &["--peer", &right]);
    third.wait_until("connected", |status| status["peers"][0].is_object());
    assert_eq!(stranger.status()["peers"].as_array().unwrap().len(), 0);
}

#[test]
fn an_unproven_peer_is_shown_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, arguments: &[&str]| {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        RunningNode::start(&folder.path().join(name), &arguments)
    };
    let far = start("far", &["--tls", "optional"]);
    let address = far.address();
    let plain = start("plain", &["--tls", "off", "--peer", &address]);
    let status = plain.wait_until("connected", |status| status["peers"][0].is_object());
    assert_eq!(status["peers"][0]["proven"], false);
    let table = stdout(&run(&["peers", "--datadir", folder.path().join("plain").to_str().unwrap()]));
    assert!(table.contains("(unproven)"), "{table}");
    let secured = start("secured", &["--peer", &address]);
    let status = secured.wait_until("connected", |status| status["peers"][0].is_object());
    assert_eq!(status["peers"][0]["proven"], true);
    let table = stdout(&run(&["peers", "--datadir", folder.path().join("secured").to_str().unwrap()]));
    assert!(!table.contains("(unproven)"), "{table}");
}
