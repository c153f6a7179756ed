//! Where other processes of this host read what the daemon counts: a unix socket that gives every connection the report
//! as JSON and closes it.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind, Read},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::UnixListener, time::timeout};

use super::{Metrics, Report};

const DIRECTORY: &str = "/run/evenkeel";
/// How long a reader or the daemon may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The socket of the daemon whose data path is pinned at `pins`.
pub fn path(pins: &Path) -> PathBuf {
    let name = pins.to_string_lossy().trim_matches('/').replace('/', "-");
    Path::new(DIRECTORY).join(format!("{name}.sock"))
}

/// A socket that is removed when it is dropped.
pub struct Endpoint {
    listener: UnixListener,
    path: PathBuf,
}

impl Endpoint {
    /// Makes the socket, in the place of one that an ended daemon left. Only for one process at a time: the lock on
    /// the pins sees to that.
    ///
    /// # Errors
    /// The directory or the socket cannot be made; the error names it.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let bind = || -> io::Result<UnixListener> {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            remove(path)?;
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        match bind() {
            Ok(listener) => Ok(Self { listener, path: path.into() }),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// Answers as long as it is polled.
    pub async fn serve(&self, metrics: &Arc<Metrics>) {
        loop {
            match self.listener.accept().await {
                Ok((mut stream, _)) => {
                    // Plain numbers and names: there is nothing that JSON cannot say.
                    let report = serde_json::to_vec(&metrics.report()).unwrap_or_default();
                    tokio::spawn(async move { timeout(PATIENCE, stream.write_all(&report)).await });
                }
                // No file descriptor is free, or the reader has gone.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Removes a socket or another file of a daemon's, if it is there: one that was killed leaves it.
///
/// # Errors
/// It may not be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads what the daemon counts; `None` if none runs.
///
/// # Errors
/// The socket may not be used, or what comes is no answer.
pub fn read(path: &Path) -> io::Result<Option<Report>> {
    let mut stream = match UnixStream::connect(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        connected => connected?,
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(Some(serde_json::from_slice(&answer)?))
}

#[cfg(test)]
mod tests {
    use model::object::ListenerId;

    use super::*;

    #[tokio::test]
    async fn another_process_reads_what_was_counted() {
        let path = std::env::temp_dir().join(format!("evenkeel-metrics-{}.sock", std::process::id()));
        // As a daemon that was killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(read(&path).unwrap(), None);

        let metrics = Arc::new(Metrics::default());
        let endpoint = Endpoint::bind(&path).unwrap();
        let counters = metrics.listener(ListenerId::of_names(&["shop", "web"]), "shop", "web");
        counters.member_answered(204);
        let reader = tokio::task::spawn_blocking({
            let path = path.clone();
            move || read(&path)
        });
        let report = tokio::select! {
            () = endpoint.serve(&metrics) => unreachable!(),
            report = reader => report.unwrap().unwrap().unwrap(),
        };
        assert_eq!(report, metrics.report());
        assert_eq!(report.listeners[0].members._2xx, 1);
        drop(endpoint);
        assert_eq!(read(&path).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn every_pin_directory_has_its_own_socket() {
        let default = path(Path::new("/sys/fs/bpf/evenkeel"));
        assert_eq!(default, Path::new("/run/evenkeel/sys-fs-bpf-evenkeel.sock"));
        assert_ne!(default, path(Path::new("/sys/fs/bpf/evenkeel2")));
    }
}
