//! A copy of a store in a file, its key beside it, and the way back.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    Store, StoreError,
    sqlite::{FILE, KEY, Sqlite, lock},
};

/// What a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How many transactions have changed objects.
    pub revision: u64,
    /// How many objects there are of each kind.
    pub objects: BTreeMap<String, usize>,
}

/// Where the key of a copy is.
fn key_of(file: &Path) -> PathBuf {
    with(file, ".key")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Copies the store of a directory into a file, its key beside it, both for their owner only. A daemon may be writing.
///
/// # Errors
/// There is no store or it is damaged, or one of the files is there already or cannot be written.
pub fn backup(directory: &Path, file: &Path) -> Result<Contents, StoreError> {
    let store = Sqlite::look(&directory.join(FILE), &directory.join(KEY))?;
    copy_key(&directory.join(KEY), &key_of(file))?;
    store.copy_to(file).inspect_err(|_| _ = fs::remove_file(key_of(file)))?;
    sync(file)?;
    check(file, &key_of(file))
}

/// Puts a copy that [`backup`] made into the place of a directory's store. What was there stays beside it, its names ending
/// in `.before`.
///
/// # Errors
/// The copy is not whole, a daemon has the store, or a file cannot be written.
pub fn restore(file: &Path, directory: &Path) -> Result<Contents, StoreError> {
    let contents = check(file, &key_of(file))?;
    let _lock = lock(directory)?;
    let [store, key] = [FILE, KEY].map(|name| directory.join(name));
    let [new_store, new_key] = [&store, &key].map(|path| with(path, ".new"));
    [&new_store, &new_key].iter().for_each(|path| _ = fs::remove_file(path));
    Sqlite::look(file, &key_of(file))?.copy_to(&new_store)?;
    copy_key(&key_of(file), &new_key)?;
    sync(&new_store)?;
    set_aside(&store, &key)?;
    // A stop between the two leaves a store whose secrets its key does not open, which no daemon serves.
    for (new, path) in [(new_key, key), (new_store, store)] {
        fs::rename(new, &path).map_err(|error| StoreError::File { path, error })?;
    }
    sync(directory)?;
    Ok(contents)
}

/// Gives what is there a second name that ends in `.before`. Its log must not be met by another store: SQLite would put it
/// into that.
fn set_aside(store: &Path, key: &Path) -> Result<(), StoreError> {
    let file = |path: &Path, done: io::Result<()>| match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::File { path: path.into(), error })
        }
        _ => Ok(()),
    };
    // The last to close a whole one puts its log into it.
    if store.exists() {
        drop(Sqlite::look(store, key));
    }
    let before = with(store, ".before");
    for (path, before) in [(store, &before), (key, &with(key, ".before"))] {
        file(before, fs::remove_file(before))?;
        file(path, fs::hard_link(path, before))?;
    }
    for end in ["-wal", "-shm"] {
        file(&with(&before, end), fs::remove_file(with(&before, end)))?;
        file(&with(store, end), fs::rename(with(store, end), with(&before, end)))?;
    }
    Ok(())
}

/// Looks through a directory's store, which a daemon may be writing to.
///
/// # Errors
/// What is wrong with it.
pub fn check_directory(directory: &Path) -> Result<Contents, StoreError> {
    check(&directory.join(FILE), &directory.join(KEY))
}

fn check(file: &Path, key: &Path) -> Result<Contents, StoreError> {
    let store = Sqlite::look(file, key)?;
    Ok(Contents { revision: store.revision(), objects: store.check()? })
}

fn copy_key(from: &Path, to: &Path) -> Result<(), StoreError> {
    let bytes = fs::read(from).map_err(|error| StoreError::File { path: from.into(), error })?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().map_err(|error| StoreError::File { path: to.into(), error })
}

fn sync(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::File { path: path.into(), error })
}
