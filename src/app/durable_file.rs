//! Files that are whole on the disk, whenever the power goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Damaged files that are kept of each file; the oldest go.
const MAX_SET_ASIDE: usize = 5;

/// What becomes of the file that was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Former {
    /// There must be none: if there is one, it stays, and the error is `AlreadyExists`.
    Refuse,
    /// It is kept beside the new one, as `NAME.bak`. Between the two steps there is only the copy.
    KeepAsBackup,
}

/// Writes a file that only its owner can read. When this returns, it is on the disk; if it never
/// does, what was there before is, under its name or as the backup. Nobody else may write in the folder.
pub(super) fn write(path: &Path, bytes: &[u8], former: Former) -> io::Result<()> {
    // The name is always the same, so that processes that were killed leave one file behind and not
    // one each.
    let temporary = beside(path, ".new");
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match former {
        Former::Refuse => {
            // A rename would replace what is there; a second name is given only where there is none.
            let linked = fs::hard_link(&temporary, path);
            remove_if_there(&temporary)?;
            linked?;
        }
        Former::KeepAsBackup => {
            match fs::rename(path, backup(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(&temporary, path)?;
        }
    }
    sync_folder(path)
}

/// What was read, and what there is to say about it.
#[derive(Debug)]
pub(super) struct Loaded<T> {
    /// Nothing if there is no file, or none that is whole.
    pub(super) value: Option<T>,
    /// Sentences for the user.
    pub(super) warnings: Vec<String>,
}

/// Reads a file, or its backup if there is none or it is damaged. What is damaged, or longer than
/// `max_bytes`, is renamed to `NAME.corrupt-SECONDS`, for whoever wants to look at it.
pub(super) fn load<T>(
    path: &Path,
    max_bytes: u64,
    unix_seconds: i64,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Loaded<T> {
    let mut warnings = Vec::new();
    for candidate in [path.to_owned(), backup(path)] {
        let why = match read(&candidate, max_bytes) {
            Ok(bytes) => match parse(&bytes) {
                Ok(value) => {
                    if !warnings.is_empty() {
                        warnings.push(format!("going on with {}", candidate.display()));
                    }
                    return Loaded { value: Some(value), warnings };
                }
                Err(why) => why,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => error.to_string(),
        };
        warnings.push(match set_aside(path, &candidate, unix_seconds) {
            Ok(aside) => {
                format!("{} is damaged ({why}) and was set aside as {}", candidate.display(), aside.display())
            }
            Err(error) => {
                format!("{} is damaged ({why}) and cannot be set aside: {error}", candidate.display())
            }
        });
    }
    if !warnings.is_empty() {
        warnings.push(format!("starting without what was in {}", path.display()));
    }
    Loaded { value: None, warnings }
}

fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("longer than {} MiB", max_bytes >> 20)));
    }
    Ok(bytes)
}

fn set_aside(path: &Path, damaged: &Path, unix_seconds: i64) -> io::Result<PathBuf> {
    let mut before = former_aside(path)?;
    // After all others, also if the clock goes backwards.
    let number = before.last().map_or(unix_seconds, |(last, _)| unix_seconds.max(last.saturating_add(1)));
    let aside = beside(path, &format!("{CORRUPT}{number}"));
    fs::rename(damaged, &aside)?;
    let too_many = (before.len() + 1).saturating_sub(MAX_SET_ASIDE);
    for (_, oldest) in before.drain(..too_many) {
        remove_if_there(&oldest)?;
    }
    sync_folder(path)?;
    Ok(aside)
}

const CORRUPT: &str = ".corrupt-";

/// What was set aside before, the oldest first.
fn former_aside(path: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let prefix = beside(path, CORRUPT);
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
        if let Some(number) = number {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Where the former version of a file is.
pub(super) fn backup(path: &Path) -> PathBuf {
    beside(path, ".bak")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Renames are on the disk when the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn text(bytes: &[u8]) -> Result<String, String> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with("good") => Ok(text.into()),
            _ => Err("not good".into()),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read_and_the_former_version_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"good 1", Former::KeepAsBackup).unwrap();
        write(&path, b"good 2", Former::KeepAsBackup).unwrap();
        assert_eq!(fs::read(backup(&path)).unwrap(), b"good 1");
        let loaded = load(&path, 100, 0, text);
        assert_eq!((loaded.value.as_deref(), loaded.warnings.len()), (Some("good 2"), 0));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["file", "file.bak"]);
    }

    #[test]
    fn a_file_that_must_be_new_is_written_over_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"good 1", Former::Refuse).unwrap();
        let error = write(&path, b"good 2", Former::Refuse).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"good 1");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_process_that_was_killed_between_the_steps_has_lost_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(backup(&path), "good 1").unwrap();
        fs::write(folder.path().join("file.new"), "go").unwrap();
        let loaded = load(&path, 100, 0, text);
        assert_eq!((loaded.value.as_deref(), loaded.warnings.len()), (Some("good 1"), 0));
        write(&path, b"good 2", Former::KeepAsBackup).unwrap();
        assert_eq!(names(folder.path()), ["file", "file.bak"]);
    }

    #[test]
    fn what_is_damaged_is_set_aside_and_the_backup_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "bad").unwrap();
        fs::write(backup(&path), "good 1").unwrap();
        let loaded = load(&path, 100, 1000, text);
        assert_eq!(loaded.value.as_deref(), Some("good 1"));
        let said = loaded.warnings.join("; ");
        assert!(said.contains("not good") && said.contains("file.corrupt-1000"), "{said}");
        assert!(said.contains("going on with") && said.contains("file.bak"), "{said}");
        assert_eq!(fs::read(folder.path().join("file.corrupt-1000")).unwrap(), b"bad");
        // What is damaged never becomes the backup.
        write(&path, b"good 2", Former::KeepAsBackup).unwrap();
        assert_eq!(fs::read(backup(&path)).unwrap(), b"good 1");
    }

    #[test]
    fn five_damaged_files_are_kept_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(folder.path().join("file.corrupt-mine"), "").unwrap();
        for number in 0..9 {
            fs::write(&path, format!("bad {number}")).unwrap();
            // The clock stands still, and goes backwards.
            assert!(load(&path, 100, 1000 - number, text).value.is_none());
        }
        let expected = (1004..=1008).map(|number| format!("file.corrupt-{number}"));
        assert_eq!(names(folder.path()), expected.chain(["file.corrupt-mine".into()]).collect::<Vec<_>>());
        assert_eq!(fs::read(folder.path().join("file.corrupt-1008")).unwrap(), b"bad 8");
    }

    #[test]
    fn what_is_too_long_or_no_file_is_set_aside_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "good but long").unwrap();
        fs::create_dir(backup(&path)).unwrap();
        let loaded = load(&path, 12, 0, text);
        assert!(loaded.value.is_none());
        assert!(loaded.warnings[0].contains("longer than"), "{:?}", loaded.warnings);
        assert_eq!(names(folder.path()), ["file.corrupt-0", "file.corrupt-1"]);
        assert!(load(&path, 12, 0, text).warnings.is_empty());
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"good 1", Former::KeepAsBackup).unwrap();
        // It cannot be opened for writing, whoever tries.
        fs::create_dir(folder.path().join("file.new")).unwrap();
        assert!(write(&path, b"good 2", Former::KeepAsBackup).is_err());
        assert_eq!(load(&path, 100, 0, text).value.as_deref(), Some("good 1"));
    }
}
