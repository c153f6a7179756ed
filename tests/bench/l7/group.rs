//! What a balancer's processes take of the machine, all together: nginx has several.

use std::{fs, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// The group of a process that leads one: itself and those that it has started.
pub struct Group(pub u32);

impl Group {
    /// The time that they have had on a processor, in steps of 10 ms.
    pub fn processor_time(&self) -> Duration {
        let ticks: u64 = self.members().map(|(_, fields)| fields[11] + fields[12]).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as u64;
        Duration::from_millis(ticks * 1000 / per_second)
    }

    /// KB of memory; what several share is divided among them.
    pub fn kilobytes(&self) -> f64 {
        let texts =
            self.members().map(|(pid, _)| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap());
        let kilobytes = |text: String| {
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap()
        };
        texts.map(kilobytes).sum()
    }

    /// Each one's id, and what `/proc/ID/stat` has behind its name.
    fn members(&self) -> impl Iterator<Item = (u32, Vec<u64>)> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let all = ids.filter_map(|id| {
            // It may have ended meanwhile.
            let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let (_, text) = text.rsplit_once(") ")?;
            Some((id, text.split(' ').map(|field| field.parse().unwrap_or(0)).collect()))
        });
        all.filter(|(_, fields): &(u32, Vec<u64>)| fields[2] == u64::from(self.0))
    }
}
