//! Disk, memory, cores, limits, sockets.

use std::path::{Path, PathBuf};

use super::{Check, Verdict};
use crate::tui::format::bytes;

/// A checkpoint of the largest known model with its optimiser is below this.
const ROOMY: u64 = 12 << 30;
const LITTLE: u64 = 1 << 30;

/// Looks at the machine.
pub fn checks() -> Vec<Check> {
    vec![disk(), scratch(), memory(), cores(), files(), watches(), sockets(), homes()]
}

fn disk() -> Check {
    let Ok(free) = run::dir::free_bytes(Path::new(".")) else {
        return Check::new("disk", Verdict::Warning, "the free space here cannot be told")
            .fix("look with `df -h .`");
    };
    let found = format!("{} free here", bytes(free));
    let fix = "free some, or name another folder: --output_dir; --save_total_limit keeps fewer checkpoints";
    match free {
        0..LITTLE => Check::new("disk", Verdict::Bad, found).fix(fix),
        LITTLE..ROOMY => {
            let found =
                format!("{found}: enough for small models (coca_ViT-L-14 writes 7.7 GB a checkpoint)");
            Check::new("disk", Verdict::Warning, found).fix(fix)
        }
        _ => Check::good("disk", found),
    }
}

fn scratch() -> Check {
    let Ok(free) = run::dir::free_bytes(Path::new("/dev/shm")) else {
        return Check::new("shm", Verdict::Absent, "/dev/shm is not there");
    };
    if free < 64 << 20 {
        return Check::new("shm", Verdict::Warning, format!("/dev/shm has {} free", bytes(free)))
            .fix("NCCL between GPUs of one machine needs some: in a container, --shm-size=1g");
    }
    Check::good("shm", format!("/dev/shm has {} free", bytes(free)))
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Memory that may be used: what is available, and what the control group allows.
fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    let (Some(total), Some(available)) = (of("MemTotal:"), of("MemAvailable:")) else {
        return Check::new("memory", Verdict::Warning, "cannot be told").fix("look with `free -h`");
    };
    let most = number("/sys/fs/cgroup/memory.max").filter(|n| *n < total);
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    let left = most.map_or(available, |most| available.min(most.saturating_sub(used)));
    let limit = most.map_or_else(String::new, |m| format!(", this container may use {}", bytes(m)));
    let found = format!("{} of {} available{limit}", bytes(left), bytes(total));
    if left < 2 << 30 {
        return Check::new("memory", Verdict::Warning, found).fix(
            "coca_ViT-B-32 trains in 6 GB: a smaller --per_device_train_batch_size, or end other programs",
        );
    }
    Check::good("memory", found)
}

/// Cores that the scheduler may put this process on. What the standard library tells has a control group's quota in it.
fn seen_cores() -> usize {
    let told = || std::thread::available_parallelism().map_or(1, usize::from);
    rustix::thread::sched_getaffinity(None).map_or_else(|_| told(), |set| set.count() as usize)
}

fn cores() -> Check {
    let quota = std::fs::read_to_string("/sys/fs/cgroup/cpu.max").unwrap_or_default();
    judge_cores(seen_cores(), &quota)
}

/// Cores that are seen, and the text of the control group's `cpu.max`.
fn judge_cores(cores: usize, text: &str) -> Check {
    let mut words = text.split_whitespace().map(str::parse::<f64>);
    let quota = match (words.next(), words.next()) {
        (Some(Ok(quota)), Some(Ok(period))) if period > 0.0 => Some(quota / period),
        _ => None,
    };
    #[allow(clippy::cast_precision_loss)]
    let over = quota.filter(|q| *q + 0.5 < cores as f64);
    if let Some(quota) = over {
        return Check::new(
            "cores",
            Verdict::Warning,
            format!("{cores} are seen, but only {quota:.1} may be used at once"),
        )
        .fix(format!(
            "set OMP_NUM_THREADS={:.0}: more threads than that hold each other up",
            quota.max(1.0)
        ));
    }
    Check::good("cores", cores.to_string())
}

fn files() -> Check {
    use rustix::process::{Resource, getrlimit};
    let most = getrlimit(Resource::Nofile).current;
    match most {
        Some(n @ 0..1024) => Check::new("files", Verdict::Warning, format!("at most {n} open at once"))
            .fix("raise it before the start: ulimit -n 4096"),
        Some(n) => Check::good("files", format!("at most {n} open at once")),
        None => Check::good("files", "no limit"),
    }
}

/// The screen is told of changes by inotify, of which a user has only so many.
fn watches() -> Check {
    let instances = number("/proc/sys/fs/inotify/max_user_instances");
    match notify::recommended_watcher(|_| {}) {
        Ok(_) => {
            let most = instances.map_or_else(String::new, |n| format!(", {n} of them for this user"));
            Check::good("watching", format!("the system tells of changed files{most}"))
        }
        Err(e) => Check::new(
            "watching",
            Verdict::Warning,
            format!("files are looked at every two seconds instead: {e}"),
        )
        .fix("sysctl fs.inotify.max_user_instances=512"),
    }
}

fn sockets() -> Check {
    match run::control::socket_folder() {
        Ok(path) => Check::good("sockets", path.display().to_string()),
        Err(e) => Check::new("sockets", Verdict::Bad, e.to_string())
            .fix("set XDG_RUNTIME_DIR to a folder of yours with mode 0700 and a short path"),
    }
}

fn homes() -> Check {
    let places = [run::dir::state_folder(), run::dir::cache_folder()];
    let [Some(state), Some(cache)] = places else {
        return Check::new("homes", Verdict::Warning, "HOME is not set: nothing is remembered or cached")
            .fix("set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME");
    };
    let writable = |folder: &PathBuf| {
        std::fs::create_dir_all(folder).is_ok()
            && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
    };
    match [&state, &cache].into_iter().find(|f| !writable(f)) {
        Some(folder) => {
            Check::new("homes", Verdict::Warning, format!("{} cannot be written", folder.display()))
                .fix("set XDG_STATE_HOME and XDG_CACHE_HOME to folders that can")
        }
        None => Check::good("homes", format!("{}, {}", state.display(), cache.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_below_the_cores_is_told() {
        assert_eq!(judge_cores(16, "200000 100000\n").verdict, Verdict::Warning);
        for text in ["max 100000\n", "1600000 100000\n", ""] {
            assert_eq!(judge_cores(16, text).verdict, Verdict::Good, "{text}");
        }
    }

    #[test]
    fn a_quota_hides_no_core_that_is_seen() {
        // Threads are counted as the kernel lists them for this one, whatever the quota.
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let list = text.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap();
        let number = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            to.parse::<usize>().unwrap() - from.parse::<usize>().unwrap() + 1
        };
        assert_eq!(seen_cores(), list.trim().split(',').map(number).sum::<usize>());
    }
}
