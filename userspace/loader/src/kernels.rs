//! Which kernels the programs are for, in one place: README, documents and messages say it in these words.

use nix::sys::utsname::uname;

/// What is said of one of the programs.
#[derive(Debug)]
pub struct Kernels {
    /// The program.
    pub program: &'static str,
    /// The series on which it was booted and did all of its work. A series comes in here with the first
    /// `cargo xtask test --kernels` that is good there.
    pub tried: &'static [&'static str],
    /// The oldest series that has what it cannot do without.
    pub built_for: &'static str,
}

/// `evenkeel`.
pub const BALANCER: Kernels =
    Kernels { program: "evenkeel", tried: &["6.1", "6.12", "6.18"], built_for: "5.15" };
/// `evenkeel-toa`.
pub const RECEIVER: Kernels =
    Kernels { program: "evenkeel-toa", tried: &["5.10", "6.1", "6.12", "6.18"], built_for: "5.10" };

impl Kernels {
    /// What is claimed, as `evenkeel is tried on Linux 6.1, 6.12 and 6.18, and built for 5.15 and newer`.
    pub fn claim(&self) -> String {
        let tried = match self.tried {
            [] => "no kernel".to_owned(),
            [only] => format!("Linux {only}"),
            [first @ .., last] => format!("Linux {} and {last}", first.join(", ")),
        };
        format!("{} is tried on {tried}, and built for {} and newer", self.program, self.built_for)
    }

    /// What to add when the kernel refuses something that others take: a version number says only what may be wrong.
    pub fn advice(&self) -> String {
        let release = uname().map(|name| name.release().to_string_lossy().into_owned());
        format!("this is Linux {}, and {}", release.as_deref().unwrap_or("?"), self.claim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_sentence() {
        assert_eq!(
            BALANCER.claim(),
            "evenkeel is tried on Linux 6.1, 6.12 and 6.18, and built for 5.15 and newer"
        );
    }
}
