//! `spacetime start`, `spacetime status`: a node's life.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::process::RunningNode;
use crate::{run, spacetime, stderr};

const ANY_PORT: &[&str] = &["--listen", "127.0.0.1:0"];

#[test]
fn a_node_introduces_itself_and_says_the_same_in_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let node = RunningNode::start(&folder.path().join("node"), ANY_PORT);
    let status = node.status();
    assert_eq!(status["version"], 1);
    let peer_id = status["peer_id"].as_str().unwrap();
    assert_eq!(node.introduction[1], format!("peer id {peer_id}"));
    assert_eq!(status["listen"][0], node.address());
    assert!(!node.address().ends_with(":0"));
    let tip = format!("tip 0 {}", status["tip"]["hash"].as_str().unwrap());
    assert_eq!(node.introduction.last(), Some(&tip));
    assert_eq!((&status["sync"]["state"], status["peers"].as_array().unwrap().len()), (&"Idle".into(), 0));
    let mode = |file: &str| {
        std::fs::metadata(folder.path().join("node").join(file)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("node.key"), mode("control.sock"), mode("")), (0o600, 0o600, 0o700));
}

#[test]
fn limits_of_bandwidth_are_on_by_default_and_can_be_changed_or_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let (mib, flags) =
        (1024 * 1024, [ANY_PORT, &["--upload", "off", "--download-per-peer", "512KiB"]].concat());
    for (name, flags, expected) in [
        ("default", ANY_PORT, serde_json::json!([mib, 10 * mib, mib, 10 * mib])),
        ("changed", &flags[..], serde_json::json!([mib, null, mib / 2, 10 * mib])),
    ] {
        let node = RunningNode::start(&folder.path().join(name), flags);
        let bandwidth = &node.status()["bandwidth"];
        let found = ["upload_per_peer", "upload", "download_per_peer", "download"].map(|it| &bandwidth[it]);
        assert_eq!(serde_json::json!(found), expected, "{name}");
    }
    for (rate, code) in [("much", 2), ("1000", 78)] {
        let datadir = folder.path().join(rate);
        let datadir = datadir.to_str().unwrap();
        let output = run(&["start", "--datadir", datadir, "--listen", "127.0.0.1:0", "--upload", rate]);
        assert_eq!(output.status.code(), Some(code), "{rate}: {}", stderr(&output));
    }
}

#[test]
fn to_serve_those_who_cannot_encrypt_encryption_must_not_be_required() {
    let folder = tempfile::tempdir().unwrap();
    let datadir = folder.path().to_str().unwrap();
    let output = run(&["start", "--datadir", datadir, "--listen", "127.0.0.1:0", "--legacy", "serve"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("optional or off"), "{}", stderr(&output));
    for mode in ["optional", "off"] {
        let _node =
            RunningNode::start(folder.path(), &[ANY_PORT, &["--legacy", "serve", "--tls", mode]].concat());
    }
}

#[test]
fn the_peer_id_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = RunningNode::start(folder.path(), ANY_PORT).introduction[1].clone();
    let second = RunningNode::start(folder.path(), ANY_PORT).introduction[1].clone();
    assert_eq!(first, second);
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let node = RunningNode::start(folder.path(), ANY_PORT);
        node.signal(signal);
        assert_eq!(node.wait().code(), Some(0), "{signal}");
        assert!(!folder.path().join("control.sock").exists());
    }
}

#[test]
fn a_folder_belongs_to_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let _node = RunningNode::start(folder.path(), ANY_PORT);
    let datadir = folder.path().to_str().unwrap();
    for arguments in [
        &["start", "--datadir", datadir, "--listen", "127.0.0.1:0"][..],
        &["chain", "info", "--datadir", datadir],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(75), "{arguments:?}");
        assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
    }
}

#[test]
fn a_port_in_use_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["start", "--datadir", folder.path().to_str().unwrap(), "--listen", &address]);
    assert_eq!(output.status.code(), Some(75));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn nobody_there_is_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["status", "--datadir", folder.path().to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no node answers"), "{}", stderr(&output));
}

#[test]
fn a_status_goes_through_a_long_path_too() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("a".repeat(80)).join("b".repeat(80));
    let node = RunningNode::start(&long, ANY_PORT);
    assert_eq!(node.status()["version"], 1);
}

#[test]
fn bad_configurations_are_exit_code_78_and_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let datadir = folder.path().join("node");
    let file = folder.path().join("config.toml");
    let with_file = |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(&["start", "--config", file.to_str().unwrap(), "--datadir", datadir.to_str().unwrap()])
    };
    for (text, wrong) in [
        ("listen = 3", "listen"),
        ("colour = \"red\"", "colour"),
        ("peers = [\"not an address\"]", "not an address"),
        ("tls = \"on\"", "TLS mode"),
        ("min_tls_version = \"1.1\"", "min_tls_version"),
        ("network = \"main\"", "network"),
        ("legacy = \"maybe\"", "policy"),
        ("[limits]\nmax_connections = 0", "max_connections"),
        ("[limits]\nmax_connections = 9\nmax_outbound = 8", "max_outbound"),
        ("seeds = [\"not an address\"]", "not an address"),
        ("own_address = \"seed.example.org\"", "IP address"),
        ("own_address = \"203.0.113.1:0\"", "port 0"),
        ("own_address = \"10.0.0.1\"\nallow_private = false", "private address"),
        ("[sync]\nmax_peers = 0", "max_peers"),
    ] {
        let output = with_file(text);
        assert_eq!(output.status.code(), Some(78), "{text}: {}", stderr(&output));
        assert!(stderr(&output).contains(wrong), "{text}: {}", stderr(&output));
    }
    let output = run(&["start", "--config", "/nonexistent/config.toml"]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "tls = \"from the file\"\n").unwrap();
    let start = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = spacetime();
        command.args(["start", "--config", file.to_str().unwrap()]);
        environment.map(|value| command.env("SPACETIME_TLS", value));
        flag.map(|value| command.args(["--tls", value]));
        stderr(&command.output().unwrap())
    };
    assert!(start(None, None).contains("from the file"));
    assert!(start(Some("from the environment"), None).contains("from the environment"));
    assert!(start(Some("from the environment"), Some("from the flag")).contains("from the flag"));
}

#[test]
fn starting_is_what_it_does_without_a_command() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("LOCK"), "").unwrap();
    let output =
        spacetime().args(["--datadir", folder.path().to_str().unwrap(), "--tls", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn garbage_on_the_control_socket_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let node = RunningNode::start(folder.path(), ANY_PORT);
    let socket = folder.path().join("control.sock");
    for garbage in [&b"\n"[..], b"{\"command\":\"explode\"}\n", &[0xff; 10_000]] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        // It may have been closed before all of it was written.
        let _ = stream.write_all(garbage);
        let mut answer = String::new();
        let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
        assert!(answer.is_empty() || answer.contains("error"), "{answer}");
    }
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(std::os::unix::net::UnixStream::connect(&socket).unwrap());
    }
    assert_eq!(node.status()["version"], 1);
}

/// What a node that takes connections in this way logs about those who begin with these bytes.
fn is_logged(tls: &str, cases: &[(&[u8], &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = spacetime()
        .args(["start", "--datadir", folder.path().to_str().unwrap()])
        .args(["--listen", "127.0.0.1:0", "--log", "debug", "--tls", tls])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let address =
        lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned)).unwrap();
    let log = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let mut log = log.map(Result::unwrap);
    for (bytes, reason) in cases {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(bytes).unwrap();
        drop(stream);
        assert!(log.any(|line| line.contains(reason)), "no {reason}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn garbage_on_the_port_is_logged_with_a_reason() {
    let garbage = [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "frame length 542393671"),
        (&[0, 0, 0, 1, 0x23], "first frame of 16777215 bytes"),
        (&[1, 0, 0, 0, 0x77], "unknown message type 0x77"),
        (&[9, 0, 0, 0, 0x04, 1, 2], "the stream ended after 7 bytes"),
    ];
    is_logged("off", &garbage);
    is_logged("optional", &garbage);
    is_logged(
        "required",
        &[
            (b"GET / HTTP/1.1\r\n\r\n", "the peer does not encrypt"),
            (&[0x16, 3, 1], "the stream ended before the connection was secured"),
            (&[0x16, 3, 1, 0, 4, 1, 0, 0, 0], "malformed TLS"),
        ],
    );
}
