//! `spacetime peers`, `addresses`, `ban` and its like; and what a node keeps of its peers.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::RunningNode;
use crate::{run, spacetime, stderr, stdout};

const ANY_PORT: &[&str] = &["--listen", "127.0.0.1:0"];

/// Asks the node in a folder, and returns what is printed.
fn ask(folder: &Path, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--datadir", folder.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn ask_json(folder: &Path, command: &str) -> Value {
    serde_json::from_str(&ask(folder, &[command, "--json"])).unwrap()
}

/// Two nodes, of which the second keeps a connection with the first.
struct Pair {
    folder: tempfile::TempDir,
    nodes: [RunningNode; 2],
}

impl Pair {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = RunningNode::start(&folder.path().join("0"), ANY_PORT);
        let second = RunningNode::start(
            &folder.path().join("1"),
            &["--listen", "127.0.0.1:0", "--peer", &first.address()],
        );
        let pair = Self { folder, nodes: [first, second] };
        pair.wait_until_connected();
        pair
    }

    fn folder(&self, index: usize) -> std::path::PathBuf {
        self.folder.path().join(index.to_string())
    }

    fn wait_until_connected(&self) {
        for node in &self.nodes {
            node.wait_until("connected", |status| count(&status["peers"]) == 1);
        }
    }
}

fn count(array: &Value) -> usize {
    array.as_array().unwrap().len()
}

#[test]
fn what_is_banned_and_trusted_is_still_after_the_node_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let node = RunningNode::start(folder, ANY_PORT);
    let said = ask(folder, &["ban", "203.0.113.0/24", "--for", "1h", "--reason", "too loud"]);
    assert!(said.starts_with("203.0.113.0/24 is banned until 2"), "{said}");
    assert_eq!(ask(folder, &["ban", "2001:db8::1"]), "2001:db8::1 is banned for ever\n");
    assert_eq!(ask(folder, &["trust", "127.0.0.9"]), "127.0.0.9 is trusted\n");
    node.kill();

    let node = RunningNode::start(folder, ANY_PORT);
    let bans = ask_json(folder, "bans");
    assert_eq!(bans["trusted"], json!(["127.0.0.9"]));
    assert_eq!((count(&bans["bans"]), &bans["bans"][0]["reason"]), (2, &"too loud".into()));
    assert_eq!(
        (&bans["bans"][1]["target"], &bans["bans"][1]["until"]),
        (&"2001:db8::1".into(), &Value::Null)
    );
    let table = ask(folder, &["bans"]);
    assert!(table.contains("too loud") && table.contains("trusted: 127.0.0.9"), "{table}");
    let said = ask(folder, &["unban", "203.0.113.7"]);
    assert_eq!(said, "203.0.113.7 was not banned\nbut 203.0.113.0/24 is, and it belongs to that\n");
    assert_eq!(ask(folder, &["unban", "203.0.113.0/24"]), "203.0.113.0/24 is no longer banned\n");
    assert_eq!(ask(folder, &["untrust", "127.0.0.9"]), "127.0.0.9 is no longer trusted\n");
    assert_eq!(ask(folder, &["untrust", "127.0.0.9"]), "127.0.0.9 was not trusted\n");
    node.kill();

    let _node = RunningNode::start(folder, ANY_PORT);
    let bans = ask_json(folder, "bans");
    assert_eq!((count(&bans["bans"]), count(&bans["trusted"])), (1, 0));
}

#[test]
fn a_node_that_is_killed_while_it_stores_bans_forgets_none_that_it_acknowledged() {
    // Each takes a tenth of a second: SPACETIME_KILLS=500.
    let kills = std::env::var("SPACETIME_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut acknowledged = 0;
    for kill in 0..kills {
        let node = RunningNode::start(folder, ANY_PORT);
        let kept = count(&ask_json(folder, "bans")["bans"]);
        assert!(kept >= acknowledged, "kill {kill}: {kept} of {acknowledged} bans");
        let killed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(kill * 1237 % 20_011));
            node.kill();
        });
        let socket = folder.join("control.sock");
        acknowledged = (kept..).find(|number| !ban_by_socket(&socket, *number)).unwrap();
        killed.join().unwrap();
    }
    let corrupt = fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("corrupt"));
    assert_eq!(corrupt.count(), 0);
    assert!(acknowledged as u64 > kills, "{acknowledged} bans");
}

/// Whether the node says that this one is banned.
fn ban_by_socket(socket: &Path, number: usize) -> bool {
    let target = format!("2001:db8::{number:x}");
    let question = json!({"command": "ban", "target": target}).to_string() + "\n";
    let mut answer = String::new();
    let exchange = UnixStream::connect(socket).and_then(|mut stream| {
        stream.write_all(question.as_bytes())?;
        stream.read_to_string(&mut answer)
    });
    exchange.is_ok() && answer.ends_with('\n') && answer.contains(&target)
}

#[test]
fn a_ban_that_cannot_be_stored_holds_but_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let node = RunningNode::start(folder.path(), ANY_PORT);
    let state = folder.path().join("peers-state.json");
    node.wait_until("stored", |_| state.exists());
    // Not even root can write a file of this name.
    fs::create_dir(folder.path().join("peers-state.json.new")).unwrap();
    let output = run(&["ban", "203.0.113.1", "--datadir", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot be stored"), "{}", stderr(&output));
    assert_eq!(ask_json(folder.path(), "bans")["bans"][0]["target"], "203.0.113.1");
}

#[test]
fn a_ban_ends_the_session_until_it_is_taken_back() {
    let pair = Pair::start();
    ask(&pair.folder(0), &["ban", "127.0.0.1"]);
    // Sessions end before the command does.
    assert_eq!(ask_json(&pair.folder(0), "peers"), json!([]));
    ask(&pair.folder(0), &["unban", "127.0.0.1"]);
    pair.wait_until_connected();
}

#[test]
fn peers_are_listed_for_people_and_programs() {
    let pair = Pair::start();
    let first = pair.nodes[0].address();
    let peers = ask_json(&pair.folder(1), "peers");
    let peer = &peers[0];
    assert_eq!(
        (&peer["role"], &peer["address"], &peer["score"]),
        (&"kept".into(), &first.as_str().into(), &0.into())
    );
    assert!(peer["connected_seconds"].is_u64(), "{peer}");
    assert_eq!(peer["group"], Value::Null, "loopback is no network on the internet");
    assert_eq!(ask_json(&pair.folder(0), "peers")[0]["role"], "inbound");
    let table = ask(&pair.folder(1), &["peers"]);
    assert!(table.starts_with("1 outbound, 0 inbound\nROLE") && table.contains(&first), "{table}");

    let mut child = spacetime()
        .args(["peers", "--watch", "--json", "--datadir", pair.folder(1).to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let peers: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(peers[0]["address"], first.as_str());
    }
    // It ends when nobody reads any more.
    drop(lines);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_book_is_stored_when_the_node_ends_and_loaded_when_it_starts() {
    let pair = Pair::start();
    let (first, folder) = (pair.nodes[0].address(), pair.folder(1));
    let port: u16 = first.rsplit_once(':').unwrap().1.parse().unwrap();
    let is_first = |address: &Value| address["Address"] == "127.0.0.1" && address["Port"] == port;
    assert!(ask_json(&folder, "addresses").as_array().unwrap().iter().any(is_first));
    let Pair { nodes: [_first, second], folder: _folder } = pair;
    second.signal("TERM");
    assert_eq!(second.wait().code(), Some(0));

    let file: Value = serde_json::from_str(&fs::read_to_string(folder.join("peers.json")).unwrap()).unwrap();
    let stored = file.as_array().unwrap().iter().find(|address| is_first(address)).unwrap();
    assert_eq!((&stored["is_tried"], &stored["SuccessCount"]), (&true.into(), &1.into()));

    let second = RunningNode::start(&folder, &["--listen", "127.0.0.1:0"]);
    let loaded = ask_json(&folder, "addresses");
    assert!(loaded.as_array().unwrap().iter().any(is_first), "{loaded}");
    let table = ask(&folder, &["addresses"]);
    assert!(table.contains(" known, ") && table.contains(&first) && table.contains("tried"), "{table}");
    second.kill();
}

#[test]
fn whom_a_killed_node_had_chosen_is_dialled_first_after_its_start() {
    let pair = Pair::start();
    let (first, folder) = (pair.nodes[0].address(), pair.folder(1));
    let state = folder.join("peers-state.json");
    pair.nodes[1].wait_until("stored", |_| fs::read_to_string(&state).is_ok_and(|it| it.contains(&first)));
    let Pair { nodes: [_first, second], folder: _folder } = pair;
    second.kill();
    // Nothing else says where the first node is.
    assert!(!folder.join("peers.json").exists());
    let second = RunningNode::start(&folder, ANY_PORT);
    let status = second.wait_until("connected", |status| count(&status["peers"]) == 1);
    assert_eq!(
        (&status["peers"][0]["address"], &status["peers"][0]["role"]),
        (&first.into(), &"outbound".into())
    );
}

#[test]
fn a_node_starts_with_damaged_files_and_says_what_became_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let datadir = folder.path();
    for name in ["peers.json", "peers-state.json"] {
        fs::write(datadir.join(name), "{ this is no").unwrap();
    }
    let mut child = spacetime()
        .args(["start", "--listen", "127.0.0.1:0", "--log", "warn", "--datadir", datadir.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    for name in ["peers.json", "peers-state.json"] {
        let aside = format!("{name}.corrupt-");
        assert!(log.any(|line| line.contains("is damaged") && line.contains(&aside)), "{name}");
        let is_aside = |name: &str| name.starts_with(&aside);
        let mut files =
            fs::read_dir(datadir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        assert!(files.any(|name| is_aside(&name)));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let _node = RunningNode::start(datadir, ANY_PORT);
    assert_eq!(ask_json(datadir, "addresses"), json!([]));
}

#[test]
fn a_book_of_the_reference_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let now = reference_now();
    let entry = |ip: &str| {
        json!({
            "Address": ip, "Port": 8333, "FirstSeen": now, "LastSeen": now, "LastAttempt": null,
            "SuccessCount": 0, "FailureCount": 0, "Source": 1
        })
    };
    let book = json!([entry("203.0.113.1"), entry("2a01:4f8::1")]);
    fs::write(folder.path().join("peers.json"), book.to_string()).unwrap();
    // Without connections of its own it leaves them alone.
    let config = folder.path().join("config.toml");
    fs::write(&config, "[limits]\nmax_outbound = 0\n").unwrap();
    let config = config.to_str().unwrap();
    let _node = RunningNode::start(folder.path(), &["--listen", "127.0.0.1:0", "--config", config]);
    let mut loaded: Vec<_> = ask_json(folder.path(), "addresses")
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["Address"].as_str().unwrap().to_owned())
        .collect();
    loaded.sort();
    assert_eq!(loaded, ["203.0.113.1", "2a01:4f8::1"]);
}

/// What the reference writes for this moment.
fn reference_now() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.1234567Z"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn private_addresses_are_not_learned_where_that_is_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let first = RunningNode::start(&folder.path().join("0"), ANY_PORT);
    let (second_folder, peer) = (folder.path().join("1"), first.address());
    let second = RunningNode::start(
        &second_folder,
        &["--listen", "127.0.0.1:0", "--peer", &peer, "--allow-private=false"],
    );
    second.wait_until("connected", |status| count(&status["peers"]) == 1);
    assert_eq!(ask_json(&second_folder, "addresses"), json!([]));
}

#[test]
fn what_is_no_peer_or_duration_is_a_wrong_use() {
    for arguments in [
        &["ban"][..],
        &["ban", "somebody else"],
        &["ban", "203.0.113.0/33"],
        &["ban", "203.0.113.1", "--for", "soon"],
        &["ban", "203.0.113.1", "--for", "0s"],
        &["trust", ""],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let _node = RunningNode::start(folder.path(), ANY_PORT);
    let long = "x".repeat(257);
    let datadir = folder.path().to_str().unwrap();
    let output = run(&["ban", "203.0.113.1", "--reason", &long, "--datadir", datadir]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("longer than 256 bytes"), "{}", stderr(&output));
}

#[test]
fn a_transaction_that_one_node_is_given_waits_in_the_pool_of_the_other() {
    let pair = Pair::start();
    let mut transaction = vec![1_u8];
    transaction.extend([2; 66]);
    for number in [5_i64, 0, 1] {
        transaction.extend(number.to_le_bytes());
    }
    transaction.extend([7; 64]);
    let file = pair.folder.path().join("transaction");
    fs::write(&file, &transaction).unwrap();
    let said = ask(&pair.folder(0), &["send-tx", file.to_str().unwrap()]);
    assert!(said.ends_with(" is on its way, through 1 peer\n"), "{said}");
    let other = pair.nodes[1].wait_until("told", |status| status["mempool"]["transactions"] == 1);
    assert_eq!(other["mempool"]["bytes"], 160);
    assert_eq!(pair.nodes[0].status()["relay"]["relayed"], 1);

    // What is no transaction is refused with a reason, and goes nowhere.
    let digits: String = transaction.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = pair.folder(0);
    for (bad, reason) in [
        (digits.replacen("05", "00", 1), "amount"),
        ("0102".to_owned(), "neither a transaction in hexadecimal digits nor a file"),
    ] {
        let output = run(&["send-tx", &bad, "--datadir", folder.to_str().unwrap()]);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}
