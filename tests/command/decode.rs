//! `spacetime decode`, against the vectors of the wire format.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::spacetime;

/// Feeds lines to the command and returns the objects it prints.
fn decode(arguments: &[&str], lines: &[String]) -> Vec<Value> {
    let mut child = spacetime()
        .arg("decode")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let objects: Vec<_> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
        .collect();
    assert_eq!(objects.len(), lines.len());
    objects.into_iter().map(Result::unwrap).collect()
}

fn vectors(list: &str) -> Vec<Value> {
    let all: Value =
        serde_json::from_str(include_str!("../../protocols/core/tests/vectors/wire.json")).unwrap();
    all[list].as_array().unwrap().clone()
}

fn text(case: &Value, key: &str) -> String {
    case[key].as_str().unwrap().to_owned()
}

#[test]
fn valid_frames_are_explained_under_the_names_of_the_vectors() {
    let cases = vectors("valid");
    let lines: Vec<_> = cases.iter().map(|case| text(case, "frame_hex")).collect();
    for (case, object) in cases.iter().zip(decode(&[], &lines)) {
        assert_eq!(object["ok"], true, "{object}");
        assert_eq!(object["type"], case["type"]);
        let special =
            case["name"] == "Peers/special-addresses" || case["name"] == "Peers/ipv4-mapped-stays-16-bytes";
        assert!(special || object["fields"] == case["fields"], "{} is not {object}", case["name"]);
    }
}

#[test]
fn payloads_are_explained_by_their_type() {
    for list in ["valid", "invalid"] {
        for case in vectors(list) {
            let object = &decode(&["--payload", &text(&case, "type_hex")], &[text(&case, "payload_hex")])[0];
            assert_eq!(object["ok"], list == "valid", "{object}");
            assert_eq!(object["error"].is_string(), list == "invalid");
        }
    }
}

#[test]
fn bad_frames_are_refused_and_the_next_line_is_read() {
    let ack = "0100000002";
    let lines = ["", "zz", "0", "00000000", "01000000fe", "0200000004", "010000000200", "ffffff7f04", ack];
    let objects = decode(&[], &lines.map(str::to_owned));
    let (last, refused) = objects.split_last().unwrap();
    assert_eq!(last["type"], "HandshakeAck");
    for (object, line) in refused.iter().zip(lines) {
        assert_eq!(object["ok"], false, "{line}");
        assert!(object["error"].as_str().unwrap().len() > 10, "{object}");
    }
}

#[test]
fn an_empty_line_is_an_empty_payload() {
    assert_eq!(decode(&["--payload", "02"], &[String::new()])[0]["ok"], true);
    assert_eq!(decode(&["--payload", "23"], &[String::new()])[0]["ok"], false);
}
