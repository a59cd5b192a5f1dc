//! `spacetime key`, `spacetime peer-id`, and sessions with those who are expected.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
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
fn a_node_is_found_where_its_configuration_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let (datadir, config) = (folder.path().join("node"), folder.path().join("config.toml"));
    std::fs::write(&config, format!("datadir = {datadir:?}\n")).unwrap();
    let command = |line: &str| {
        let words = line.split(' ').chain(["--config", config.to_str().unwrap()]);
        run(&words.collect::<Vec<_>>())
    };
    let made = command("key new");
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(datadir.join("node.key").exists());
    assert_eq!(stdout(&command("peer-id")), stdout(&made));
    assert!(stdout(&command("key show")).contains(datadir.to_str().unwrap()));
    let other = folder.path().join("other");
    let other = command(&format!("peer-id --datadir {}", other.display()));
    assert_eq!(other.status.code(), Some(1), "what is given goes over the file");
    let _node = RunningNode::start(&datadir, &["--listen", "127.0.0.1:0"]);
    assert!(command("status").status.success());
}

#[test]
fn where_a_peer_was_proven_before_a_restart_nobody_is_dialled_in_plaintext() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, arguments: &[&str]| {
        RunningNode::start(&folder.path().join(name), &[&["--listen", "127.0.0.1:0"], arguments].concat())
    };
    let far = start("far", &[]);
    let address = far.address();
    let near = start("near", &["--tls", "optional", "--peer", &address]);
    near.wait_until("connected", |status| status["peers"][0]["proven"] == true);
    near.signal("TERM");
    assert_eq!(near.wait().code(), Some(0));
    far.kill();
    // Somebody without a key takes the place.
    let listener = TcpListener::bind(&address).unwrap();
    let _near = start("near", &["--tls", "optional", "--peer", &address]);
    for _ in 0..3 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(first, [0x16], "it is TLS each time");
        stream.write_all(&[1, 0, 0, 0, 2]).unwrap();
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

#[test]
fn only_peers_on_the_list_of_the_configuration_are_let_in_and_the_others_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, arguments: &[&str]| {
        RunningNode::start(&folder.path().join(name), &[&["--listen", "127.0.0.1:0"], arguments].concat())
    };
    let friend = folder.path().join("friend");
    let made = run(&["key", "new", "--datadir", friend.to_str().unwrap()]);
    let config = folder.path().join("config.toml");
    std::fs::write(&config, format!("allowed_peers = [{:?}]\n", stdout(&made).trim())).unwrap();
    let far = start("far", &["--config", config.to_str().unwrap()]);
    let address = far.address();
    let _friend = start("friend", &["--peer", &address]);
    let _stranger = start("stranger", &["--peer", &address]);
    let status = far.wait_until("refusing", |status| {
        status["refusals"]["not-allowed"].as_u64() > Some(1) && status["peers"][0].is_object()
    });
    assert_eq!(status["peers"].as_array().unwrap().len(), 1);
    assert_eq!(status["peers"][0]["peer_id"], stdout(&made).trim());
    let table = stdout(&run(&["status", "--datadir", folder.path().join("far").to_str().unwrap()]));
    assert!(table.contains("not-allowed"), "{table}");
}

#[test]
fn what_is_no_id_no_hash_and_no_certificate_is_a_bad_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pem) = (folder.path().join("config.toml"), folder.path().join("authority.pem"));
    std::fs::write(&pem, "nothing\n").unwrap();
    let id = "ab".repeat(32);
    for (text, why) in [
        ("allowed_peers = [\"abc\"]".to_owned(), "64 hexadecimal digits"),
        ("pinned_keys = [\"xyz\"]".to_owned(), "64 hexadecimal digits"),
        (format!("authorities = [{pem:?}]"), "no PEM file"),
        (format!("certificates = {:?}", folder.path().join("missing.pem")), "missing.pem"),
        (format!("tls = \"optional\"\nallowed_peers = [{id:?}]"), "need encryption to be required"),
        ("[limits]\naccepts_per_host = 0".to_owned(), "let somebody in"),
    ] {
        std::fs::write(&config, &text).unwrap();
        let datadir = folder.path().join("node");
        let arguments = ["start", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
        let output = run(&[&arguments[..], &["--datadir", datadir.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(stderr(&output).contains(why), "{text}: {}", stderr(&output));
    }
}
