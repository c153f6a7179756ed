//! A kernel and its modules: any file that the boot loader takes, or Debian's of a series.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{progress, setup, workspace};

/// Where the header of a bzImage has the offset of its release, less 0x200 (`kernel_version` of
/// `Documentation/arch/x86/boot.rst`).
const RELEASE: usize = 0x20e;
/// What the testbed and the programs need and a distribution's kernel has apart, each after those that it needs.
const MODULES: [&str; 8] =
    ["llc", "stp", "bridge", "veth", "sch_ingress", "cls_bpf", "inet_diag", "tcp_diag"];

/// A kernel.
#[derive(Debug)]
pub struct Image {
    /// The file.
    pub file: PathBuf,
    release: String,
}

/// As `uname -r` would say.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.release)
    }
}

impl Image {
    /// The kernel in this file.
    ///
    /// # Errors
    /// It is none.
    pub fn new(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let release = release(&bytes).with_context(|| format!("{} is no bzImage", file.display()))?;
        Ok(Self { file: file.to_owned(), release })
    }

    /// Debian's newest of this series, as `6.1`, kept in the target directory.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn debian(series: &str) -> Result<Self> {
        if workspace::program("apt-get").is_none() {
            bail!(
                "Debian's kernel {series} is fetched by apt-get, which is not here: name images after --kernels"
            );
        }
        let package = match newest(series)? {
            Some(package) => package,
            None => {
                setup::update_packages()?;
                newest(series)?.with_context(|| format!("this Debian has no kernel {series}"))?
            }
        };
        let folder = workspace::target()?.join("kernels").join(&package);
        if !folder.join("boot").is_dir() && fetch(&package, &folder).is_err() {
            // The list may be of an older one.
            setup::update_packages()?;
            fetch(&package, &folder)?;
        }
        let kernel = fs::read_dir(folder.join("boot"))?.flatten().next();
        Self::new(&kernel.with_context(|| format!("{package} has no kernel"))?.path())
    }

    /// The files of its modules, in the order in which they are loaded. What is missing is part of the kernel.
    pub fn modules(&self) -> Vec<PathBuf> {
        let root = self.file.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let folders = ["lib", "usr/lib"].map(|lib| root.join(lib).join("modules").join(&self.release));
        let mut files = Vec::new();
        folders.iter().for_each(|folder| list(folder, &mut files));
        let file_of = |module: &&str| {
            let name = |file: &PathBuf| file.file_name().map(|name| name.to_string_lossy().into_owned());
            let start = format!("{module}.ko");
            files.iter().find(|file| name(file).is_some_and(|name| name.starts_with(&start))).cloned()
        };
        MODULES.iter().filter_map(file_of).collect()
    }
}

fn release(image: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?));
    (image.get(0x202..0x206)? == b"HdrS").then_some(())?;
    let text = image.get(usize::from(word(RELEASE)?) + 0x200..)?;
    let text = text.split(|byte| *byte == 0 || *byte == b' ').next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), files),
            _ => files.push(entry.path()),
        }
    }
}

/// The newest package with a kernel of this series.
fn newest(series: &str) -> Result<Option<String>> {
    let pattern = format!(r"^linux-image-{}\.[0-9][^-]*(-[0-9]+)?-amd64$", series.replace('.', r"\."));
    let mut search = Command::new("apt-cache");
    let output =
        search.args(["search", "--names-only", &pattern]).output().context("cannot run apt-cache")?;
    let found = String::from_utf8_lossy(&output.stdout);
    let names = found.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.max_by_key(|name| numbers(name)).map(str::to_owned))
}

fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Fetches a package and unpacks its kernel and the modules that are needed.
fn fetch(package: &str, folder: &Path) -> Result<()> {
    let parts = folder.with_extension("part");
    let _ = fs::remove_dir_all(&parts);
    fs::create_dir_all(&parts)?;
    let modules: Vec<String> = MODULES.iter().map(|module| format!("'*/{module}.ko*'")).collect();
    let script = format!(
        "apt-get download {package} && dpkg-deb --fsys-tarfile {package}_*.deb | \
         tar -x --wildcards './boot/vmlinuz-*' {} && rm {package}_*.deb",
        modules.join(" ")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&parts);
    let output = progress::quietly("apt-get", &format!("fetching {package}"), &mut shell)?;
    if !output.status.success() {
        bail!("cannot fetch {package}:\n{}", progress::tail(&output, 6));
    }
    // Last, so that it is there only if all is.
    fs::rename(&parts, folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_says_its_release() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[RELEASE..RELEASE + 2].copy_from_slice(&0x40_u16.to_le_bytes());
        image[0x240..0x250].copy_from_slice(b"6.1.0-57-amd64 (");
        assert_eq!(release(&image).as_deref(), Some("6.1.0-57-amd64"));
        assert_eq!(release(b"#!/bin/sh"), None);
    }

    #[test]
    fn the_newest_is_found_by_number() {
        let names = ["linux-image-6.1.0-9-amd64", "linux-image-6.1.0-57-amd64", "linux-image-6.1.0-47-amd64"];
        assert_eq!(names.iter().max_by_key(|name| numbers(name)), Some(&names[1]));
    }
}
