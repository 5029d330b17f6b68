//! `hdms backup`.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use hdms_nodes::base::{private, sqlite};

use super::CommandResult;

/// Copies all that a node keeps, also while it runs, into a new folder that only its owner may read.
#[derive(Debug, Args)]
pub struct Backup {
    /// The node's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder to copy into; it must be empty, or is made.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// How a file goes into a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    /// As it is at one moment, by SQLite.
    Database,
    /// As it is.
    Plain,
    /// Not at all: it is made anew, or is part of a database.
    LeftOut,
}

impl Backup {
    /// Copies, and says how much.
    pub async fn run(self) -> CommandResult {
        if !self.data.is_dir() {
            return Err(format!("{}: there is no such folder", said(&self.data)).into());
        }
        private::folder(&self.to)?;
        if self.to.canonicalize()?.starts_with(self.data.canonicalize()?) {
            let (to, data) = (said(&self.to), said(&self.data));
            return Err(format!("{to}: a backup goes elsewhere than into {data}").into());
        }
        if entries(&self.to)?.next().is_some() {
            return Err(format!("{}: a backup goes into an empty folder", said(&self.to)).into());
        }
        let files = copy_all(&self.data, &self.to)?;
        println!("{files} files in {}; keep the passphrase elsewhere", said(&self.to));
        Ok(())
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let mut files = 0;
    for entry in entries(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            private::folder(&to)?;
            files += copy_all(&from, &to)?;
            continue;
        }
        let copied = match way(&from) {
            Copying::LeftOut => continue,
            Copying::Database => sqlite::copy(&from, &to).map_err(|error| error.to_string()),
            Copying::Plain => copy(&from, &to).map_err(|error| error.to_string()),
        };
        copied.map_err(|error| format!("{}: {error}", said(&from)))?;
        files += 1;
    }
    File::open(to)?.sync_all()?;
    Ok(files)
}

fn entries(
    folder: &Path,
) -> Result<impl Iterator<Item = io::Result<DirEntry>>, Box<dyn std::error::Error>> {
    fs::read_dir(folder).map_err(|error| format!("{}: {error}", said(folder)).into())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, private::make(to)?);
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

fn way(file: &Path) -> Copying {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let beside = ["-wal", "-shm", ".lock"].iter().any(|end| name.ends_with(end));
    match name.strip_suffix(".sqlite") {
        Some(_) => Copying::Database,
        None if beside || name.starts_with("proofs.") => Copying::LeftOut,
        None => Copying::Plain,
    }
}

fn said(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[cfg(test)]
mod tests {
    use super::Backup;
    use hdms_nodes::base::sqlite::{Database, Schema};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const NOTES: Schema =
        Schema { application: 7, migrations: &["CREATE TABLE notes (text TEXT) STRICT"] };

    #[tokio::test]
    async fn a_running_node_is_copied_without_what_it_deleted_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (data, to) = (dir.path().join("node"), dir.path().join("backup"));
        let database = Database::open(&data.join("node.sqlite"), &NOTES).unwrap();
        let write = async |sql: &'static str| {
            database.write(move |tx| Ok(tx.execute(sql, []).map(drop)?)).await.unwrap();
        };
        write("INSERT INTO notes VALUES ('gone'), ('kept')").await;
        write("DELETE FROM notes WHERE text = 'gone'").await;
        fs::create_dir(data.join("vapid")).unwrap();
        fs::write(data.join("vapid/keys.pem"), "sealed").unwrap();
        fs::write(data.join("proofs.new"), "used").unwrap();
        fs::create_dir(&to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        let within = Backup { data: data.clone(), to: data.join("backup") };
        assert!(within.run().await.unwrap_err().to_string().contains("elsewhere"));
        fs::remove_dir(data.join("backup")).unwrap();
        Backup { data: data.clone(), to: to.clone() }.run().await.unwrap();
        let others = |file: &str| to.join(file).metadata().unwrap().permissions().mode() & 0o077;
        let made = ["", "node.sqlite", "vapid", "vapid/keys.pem"];
        assert_eq!(made.map(others), [0; 4]);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 2);
        let copy = fs::read(to.join("node.sqlite")).unwrap();
        let has = |text: &[u8]| copy.windows(4).any(|part| part == text);
        assert!(has(b"kept") && !has(b"gone"));
        let restored = Database::open(&to.join("node.sqlite"), &NOTES);
        assert!(restored.is_ok());
        assert!(Backup { data, to }.run().await.is_err(), "another copy lies there");
    }
}
