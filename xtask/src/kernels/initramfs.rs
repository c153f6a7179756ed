//! All that the machine has beside the kernel: BusyBox, our programs, the testbed's test and what that runs, with the
//! libraries of all of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::image::Image;
use crate::{progress, workspace};

/// The first process, a script for BusyBox's shell.
const INIT: &str = include_str!("init.sh");
/// What the testbed runs, beside BusyBox.
const PROGRAMS: [&str; 4] = ["ip", "ethtool", "curl", "openssl"];
/// A file that `openssl` reads.
const OPENSSL: &str = "/usr/lib/ssl/openssl.cnf";
/// What modules come packed with, and what unpacks them.
const PACKED: [(&str, &[&str]); 3] =
    [("xz", &["busybox", "xzcat"]), ("gz", &["busybox", "zcat"]), ("zst", &["zstd", "-dcq"])];

/// Builds the programs and packs them for this kernel. The archive.
///
/// # Errors
/// Something does not build, or a program is missing.
pub fn build(image: &Image) -> Result<PathBuf> {
    let folder = workspace::target()?.join("kernels/initramfs");
    let _ = fs::remove_dir_all(&folder);
    for name in ["bin", "dev", "etc", "modules", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(folder.join("init"), INIT)?;
    fs::set_permissions(folder.join("init"), fs::Permissions::from_mode(0o755))?;
    for name in ["busybox"].iter().chain(&PROGRAMS) {
        let file = workspace::program(name).with_context(|| format!("{name} is missing"))?;
        add_program(&folder, &file, name)?;
    }
    add_program(&folder, &test()?, "network")?;
    for name in ["evenkeel", "evenkeel-toa"] {
        cargo(&["build", "--package", name, "--bin", name])?;
        add_program(&folder, &workspace::target()?.join("debug").join(name), name)?;
    }
    if Path::new(OPENSSL).exists() {
        add(&folder, Path::new(OPENSSL))?;
    }
    for (number, module) in image.modules().iter().enumerate() {
        fs::write(folder.join(format!("modules/{number}.ko")), unpacked(module)?)?;
    }
    let archive = folder.with_extension("cpio");
    let script = "cd \"$1\" && find . | busybox cpio -o -H newc > \"$2\"";
    run(Command::new("sh").args(["-c", script, "sh"]).arg(&folder).arg(&archive))?;
    Ok(archive)
}

/// The testbed's network tests.
fn test() -> Result<PathBuf> {
    let messages =
        cargo(&["test", "--package", "testbed", "--test", "network", "--no-run", "--message-format=json"])?;
    let file = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "network").then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    file.context("cargo names no network tests")
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(workspace::cargo());
    command.args(arguments).current_dir(workspace::root());
    let output = progress::quietly("building", "what runs in the machine", &mut command)?;
    if !output.status.success() {
        bail!("{} does not build:\n{}", arguments.join(" "), progress::tail(&output, 30));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Puts a program into `/bin` under this name, without what only debuggers read, and its libraries where they are here.
fn add_program(folder: &Path, file: &Path, name: &str) -> Result<()> {
    run(Command::new("strip").arg("-o").arg(folder.join("bin").join(name)).arg(file))?;
    // It fails for a static one.
    let libraries = Command::new("ldd").arg(file).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&libraries.stdout);
    let paths = text.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    paths.filter(|path| path.is_file()).try_for_each(|path| add(folder, path))
}

/// Puts a file where it is here.
fn add(folder: &Path, file: &Path) -> Result<()> {
    let to = folder.join(file.strip_prefix("/")?);
    if !to.exists() {
        fs::create_dir_all(to.parent().unwrap_or(folder))?;
        fs::copy(file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

fn unpacked(module: &Path) -> Result<Vec<u8>> {
    let end = module.extension().unwrap_or_default();
    let Some((_, words)) = PACKED.iter().find(|(packed, _)| end == *packed) else {
        return Ok(fs::read(module)?);
    };
    let (program, arguments) = words.split_first().context("nothing unpacks it")?;
    run(Command::new(program).args(arguments).arg(module))
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", progress::tail(&output, 6));
    }
    Ok(output.stdout)
}
