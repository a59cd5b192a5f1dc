//! `peers-state.json`: the state, and a checksum over it.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spacetime_core::Hash;
use spacetime_peers::State;

/// Goes up when a former node could not read the file, or would misunderstand it.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    /// In hexadecimal digits, of [`canonical`].
    sha256: String,
    state: Value,
}

/// What the checksum is over: the state as JSON without whitespace, with the fields of each object
/// in order. So a file that was only laid out anew is still good.
fn canonical(state: &mut Value) -> Result<Vec<u8>, serde_json::Error> {
    state.sort_all_objects();
    serde_json::to_vec(state)
}

/// Reads a file.
pub(super) fn parse(bytes: &[u8]) -> Result<State, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }

    let unreadable = |error: serde_json::Error| error.to_string();
    let Version { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if version != VERSION {
        return Err(format!("its format is {version}, this node knows {VERSION}"));
    }
    let File { sha256, mut state, .. } = serde_json::from_slice(bytes).map_err(unreadable)?;
    let expected: Hash = sha256.parse().map_err(|_| "its checksum is no SHA-256")?;
    if Hash::of(&canonical(&mut state).map_err(unreadable)?) != expected {
        return Err("its checksum is wrong".into());
    }
    serde_json::from_value(state).map_err(unreadable)
}

/// Writes a file.
pub(super) fn print(state: &State) -> io::Result<Vec<u8>> {
    let mut state = serde_json::to_value(state)?;
    let sha256 = Hash::of(&canonical(&mut state)?).to_string();
    let mut text = serde_json::to_vec_pretty(&File { version: VERSION, sha256, state })?;
    text.push(b'\n');
    Ok(text)
}
