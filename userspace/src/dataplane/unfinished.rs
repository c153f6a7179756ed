//! What a start has made so far and takes back if it fails.

use std::{fs, path::PathBuf};

use evenkeel_loader::refusal::one_line;

use super::{filter, pins::PinDir};

/// Pins and filters that a start made and that go again unless it succeeds.
#[derive(Default)]
pub struct Unfinished {
    directory: Option<PinDir>,
    paths: Vec<PathBuf>,
    filters: Vec<String>,
}

impl Unfinished {
    /// Adds a directory with all that is pinned there.
    pub fn add_all_of(&mut self, directory: PinDir) {
        self.directory = Some(directory);
    }

    /// Adds one pin.
    pub fn add(&mut self, path: PathBuf) {
        self.paths.push(path);
    }

    /// Adds the filter of what an interface sends.
    pub fn add_filter(&mut self, interface: String) {
        self.filters.push(interface);
    }

    /// The start succeeded: the pins stay.
    pub fn finish(mut self) {
        self.directory = None;
        self.paths.clear();
        self.filters.clear();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for name in &self.filters {
            if let Err(error) = filter::detach(name) {
                tracing::warn!("a failed start leaves a filter behind: {}", one_line(&error));
            }
        }
        for path in &self.paths {
            let _ = fs::remove_file(path);
        }
        if let Some(pins) = self.directory.take()
            && let Err(error) = pins.remove()
        {
            tracing::warn!("a failed start leaves pins behind: {}", one_line(&error));
        }
    }
}
